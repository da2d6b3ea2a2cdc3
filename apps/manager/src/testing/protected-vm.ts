/** A VM that is ready to be backed up, in a test: seen on its host, with a storage in its zone and an offering of its own; and its backups. */
import { randomUUID } from 'node:crypto';
import type { Backup, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { TakeBackupRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { BackupsService } from '../backups/backups.service.js';
import { OfferingsService } from '../offerings/offerings.service.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { StoragesService } from '../storage/storages.service.js';
import { VmsService } from '../vms/vms.service.js';
import { domainOf, type FakeAgent } from './fake-agent.js';
import type { TestManager } from './test-manager.js';
import { waitFor } from './wait-for.js';

export interface ProtectedVmWish {
  /** Of the VM and of the storage. */
  readonly name?: string;
  /** Target → the paths of its layers, the active one first. */
  readonly disks?: Readonly<Record<string, string[]>>;
  readonly chainSize?: number;
}

export async function protectedVm(
  manager: TestManager,
  agent: FakeAgent,
  zoneId: string,
  wish: ProtectedVmWish = {},
): Promise<{ id: string; storageId: string }> {
  const { name = 'web', disks = { vda: ['/pool/root.qcow2'] }, chainSize } = wish;
  const place = { zoneId: zoneId as never, name, type: 'dir' as const, source: '/backup', options: '', adopt: false };
  const storage = await manager.get(StoragesService).create(manager.admin, place);
  const id = randomUUID();
  agent.setDomain(domainOf(id, name, disks, () => agent.newInode()));
  const rows = manager.database.dataSource.manager;
  await waitFor('the VM', async () => (await rows.findOneBy(VmEntity, { id })) ?? undefined);
  const offering = await manager
    .get(OfferingsService)
    .create(manager.admin, { name: 'gold', description: '', ...(chainSize === undefined ? {} : { chainSize }) });
  await manager.get(VmsService).assignOffering(manager.admin, id, { offeringId: offering.id });
  return { id, storageId: storage.id };
}

/** Begins a backup of a VM, of the plainest kind unless `wish` says more. */
export function startBackup(manager: TestManager, vmId: string, wish: Partial<CreateBackup> = {}): Promise<Operation> {
  const plain: CreateBackup = { description: '', isolated: false, quiesce: 'no' };
  return manager.get(BackupsService).create(manager.admin, vmId, { ...plain, ...wish });
}

/** The backup as it is when its operation has ended. */
export async function backUp(manager: TestManager, vmId: string, wish: Partial<CreateBackup> = {}): Promise<Backup> {
  const operation = await startBackup(manager, vmId, wish);
  await manager.finished(operation.id);
  return manager.get(BackupsService).get(manager.admin, operation.backupId ?? '');
}

/** The request of the backup that the agent got as its command `index`. */
export function sentBackup(agent: FakeAgent, index: number): TakeBackupRequest {
  const command = agent.accepted[index];
  if (command?.kind !== 'takeBackup') throw new Error(`command ${index} is ${command?.kind}`);
  return command.request;
}
