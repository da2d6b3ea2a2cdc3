/** Resources for tests, whole and valid. */
import type { Backup } from '@holdfast/shared/api/backups.js';
import { backupSchema } from '@holdfast/shared/api/backups.js';
import { vmSchema, type Vm } from '@holdfast/shared/api/inventory.js';
import { operationSchema, type Operation } from '@holdfast/shared/api/operations.js';

export const VM_ID = '6f0c1a52-0000-4000-8000-000000000001';
export const OPERATION_ID = '7d0f1f4e-0000-4000-8000-000000000002';

/** A UUID that ends in `n`. */
export function id(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
}

export function vm(changes: Partial<Record<keyof Vm, unknown>> = {}): Vm {
  return vmSchema.parse({
    id: VM_ID,
    name: 'web-1',
    zoneId: id(1),
    powerState: 'Running',
    protectionState: 'Ok',
    guestAgent: true,
    problems: [],
    ...changes,
  });
}

/** The n-th backup; the minute of its time is `n`. */
export function backup(n: number, changes: Partial<Record<keyof Backup, unknown>> = {}): Backup {
  const at = `2026-11-21T10:${String(n).padStart(2, '0')}:00.000Z`;
  return backupSchema.parse({
    id: id(n),
    vmId: VM_ID,
    vmName: 'web-1',
    name: `b${n}`,
    description: '',
    state: 'BackedUp',
    type: 'FULL',
    isolated: false,
    endOfChain: false,
    protected: false,
    quiesce: 'no',
    storageId: id(900),
    storageReason: 'most free space',
    volumes: [],
    warnings: [],
    sizeBytes: '1048576',
    createdAt: at,
    frozenAt: at,
    ...changes,
  });
}

export function operation(changes: Partial<Record<keyof Operation, unknown>> = {}): Operation {
  return operationSchema.parse({
    id: OPERATION_ID,
    kind: 'TakeBackup',
    state: 'Running',
    vmId: VM_ID,
    revision: 1,
    steps: [],
    progress: [],
    warnings: [],
    cancelRequested: false,
    createdAt: '2026-11-21T10:00:00.000Z',
    ...changes,
  });
}
