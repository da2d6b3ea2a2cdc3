import { describe, expect, test } from '@jest/globals';
import { BackupState, Quiesce } from '@holdfast/shared/wire/generated/holdfast/manager/v1/backup.js';
import { HostState } from '@holdfast/shared/wire/generated/holdfast/manager/v1/inventory.js';
import { OperationKind, OperationState, StepState } from '@holdfast/shared/wire/generated/holdfast/manager/v1/operation.js';
import { SecondaryStorageType } from '@holdfast/shared/wire/generated/holdfast/manager/v1/storage.js';
import * as enums from './enums.js';

describe('enums of the wire', () => {
  test.each([
    [BackupState, enums.BACKUP_STATES],
    [Quiesce, enums.QUIESCE],
    [HostState, enums.HOST_STATES],
    [OperationKind, enums.OPERATION_KINDS],
    [OperationState, enums.OPERATION_STATES],
    [StepState, enums.STEP_STATES],
    [SecondaryStorageType, enums.STORAGE_TYPES],
  ])('every value has a string of ours and the way back', (wire: Record<string, string>, table: Record<string, string>) => {
    const known = Object.values(wire).filter((value) => value !== 'UNRECOGNIZED' && !value.endsWith('_UNSPECIFIED'));
    expect(Object.values(table).sort()).toEqual(known.sort());
    for (const [ours, value] of Object.entries(table)) expect(enums.fromWire(table, value, 'field')).toBe(ours);
  });

  test('an unspecified value is none, one of another version is refused with the field named', () => {
    expect(enums.fromWire(enums.QUIESCE, Quiesce.QUIESCE_UNSPECIFIED, 'quiesce')).toBeUndefined();
    expect(() => enums.fromWire(enums.QUIESCE, Quiesce.UNRECOGNIZED, 'quiesce')).toThrow(/quiesce: must be one of/);
  });
});
