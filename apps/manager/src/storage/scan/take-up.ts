/**
 * The writes of a scan for one VM, in one transaction: all of its backups, or none. Owns the proof that nothing works on the VM,
 * under the lock that every operation is asked for and recorded under.
 */
import type { EntityManager } from 'typeorm';
import { z } from 'zod';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { lineage, manifestColumns, manifestVolumes, mergedInto, noteTurnedUp } from '../../backups/manifest-record.js';
import type { DeletionRecorder } from '../../deletions/deletion-recorder.js';
import { lockVm } from '../../inventory/vm-lookup.js';
import { AccountEntity } from '../../persistence/entities/access.entities.js';
import { BackupEntity, BackupVolumeEntity } from '../../persistence/entities/backup.entities.js';
import { UNFINISHED } from '../../persistence/entities/operation.entity.js';
import type { StorageEntity } from '../../persistence/entities/storage.entity.js';
import { VmEntity } from '../../persistence/entities/vm.entities.js';
import { placeVolumes } from './place-volumes.js';
import type { Correction, FoundBackup, LeftBackup, VmScan } from './plan-scan.js';

export interface Scanned {
  readonly manifest: Manifest;
  readonly message: string;
}

export interface TakenUp {
  readonly newVm: { readonly id: string; readonly name: string } | undefined;
  readonly takenUp: readonly Scanned[];
  readonly corrected: readonly Scanned[];
  readonly left: readonly LeftBackup[];
  readonly warnings: readonly string[];
}

export interface TakeUpContext {
  readonly storage: StorageEntity;
  readonly recorder: DeletionRecorder;
  /** When the judgement began that the plan stands on. */
  readonly begun: Date;
  readonly now: Date;
}

/** Writes what is planned for the VM. When an operation worked on it since the judgement began, nothing; all is left then. */
export async function takeUp(manager: EntityManager, context: TakeUpContext, plan: VmScan): Promise<TakenUp> {
  const newVm = (await manager.existsBy(VmEntity, { id: plan.vmId })) ? undefined : await addGoneVm(manager, context, plan);
  const vm = await lockVm(manager, plan.vmId);
  if (await isWorkedOn(manager, vm.id, context.begun)) return allLeft(plan);
  const corrected: Scanned[] = [];
  for (const one of plan.correct) corrected.push(...(await setRight(manager, context, vm, one)));
  const warnings = await placeVolumes(manager, vm, plan.takeUp);
  const takenUp: Scanned[] = [];
  const left: LeftBackup[] = [];
  for (const found of plan.takeUp) {
    if (await manager.existsBy(BackupEntity, { id: found.manifest.backupId }))
      left.push(leftBackup(found.manifest, 'It is on record by now, or on record as a backup on another storage.'));
    else takenUp.push(await record(manager, context, vm, found));
  }
  return { newVm, takenUp, corrected, left, warnings };
}

/** Nobody reports the VM: its backups can be listed and restored. A host that has it takes the row over when it says so. */
async function addGoneVm(
  manager: EntityManager,
  { storage }: TakeUpContext,
  { vmId, takeUp: found }: VmScan,
): Promise<TakenUp['newVm']> {
  const newest = found.map(({ manifest }) => manifest).reduce((a, b) => (a.frozenAt < b.frozenAt ? b : a));
  const result = await manager
    .createQueryBuilder()
    .insert()
    .into(VmEntity)
    .values({
      ...{ id: vmId, zoneId: storage.zoneId, hostId: null, name: newest.vm.name, powerState: 'Gone', protectionState: 'Ok' },
      ...{ accountId: (await accountOf(manager, newest)) ?? null, guestAgent: false, problems: [] },
      ...{ settings: newest.vmSettings, libvirtSnapshots: [] },
    })
    .orIgnore()
    .returning('id')
    .execute();
  return (result.raw as unknown[]).length === 0 ? undefined : { id: vmId, name: newest.vm.name };
}

/** An operation may have changed what lies on the storage since it was looked at. */
async function isWorkedOn(manager: EntityManager, vmId: string, begun: Date): Promise<boolean> {
  const found = await manager.query<unknown[]>(
    `SELECT 1 FROM operation WHERE vm_id = $1 AND (${UNFINISHED} OR finished_at >= $2) LIMIT 1`,
    [vmId, begun],
  );
  return found.length > 0;
}

function allLeft({ takeUp: found, correct }: VmScan): TakenUp {
  const manifests = [...found, ...correct].map(({ manifest }) => manifest);
  const left = manifests.map((manifest) => leftBackup(manifest, 'An operation began to work on its VM meanwhile. Scan again.'));
  return { newVm: undefined, takenUp: [], corrected: [], left, warnings: [] };
}

function leftBackup({ backupId, backupName, vm, frozenAt }: Manifest, reason: string): LeftBackup {
  return { backupId, backupName, vmId: vm.id, vmName: vm.name, frozenAt, reason };
}

/** Of no schedule, so the retention of none counts or prunes it: it stays until somebody deletes it. */
async function record(
  manager: EntityManager,
  { storage, now }: TakeUpContext,
  vm: VmEntity,
  { manifest }: FoundBackup,
): Promise<Scanned> {
  const { backupId: id, backupName: name, notes } = manifest;
  await manager.insert(BackupEntity, {
    ...manifestColumns(manifest),
    ...{ id, name, vmId: vm.id, vmName: manifest.vm.name, storageId: storage.id },
    accountId: (await accountOf(manager, manifest)) ?? vm.accountId,
    description: notes['description'] ?? '',
    fullReason: notes['fullReason'] ?? null,
    quiesce: manifest.quiesced ? 'require' : 'no',
    storageReason: 'it was found on this storage by a scan',
    warnings: [`Taken up from its storage by a scan at ${now.toISOString()}.`],
    createdAt: new Date(manifest.frozenAt),
  });
  await manager.insert(BackupVolumeEntity, manifestVolumes(manifest));
  await noteTurnedUp(manager, manifest);
  const parent = manifest.parentBackupId === undefined ? '' : ` on ${manifest.parentBackupId}`;
  return { manifest, message: `${manifest.type}${parent}` };
}

/** The account that the backup was made for, when this database has it. */
async function accountOf(manager: EntityManager, { notes }: Manifest): Promise<string | undefined> {
  const { data: id } = z.uuid().safeParse(notes['accountId']);
  return id !== undefined && (await manager.existsBy(AccountEntity, { id })) ? id : undefined;
}

/** The record of a backup, and of the one that it absorbed, as after the compaction that this database does not know. */
async function setRight(
  manager: EntityManager,
  { recorder }: TakeUpContext,
  vm: VmEntity,
  { manifest, absorbedId }: Correction,
): Promise<Scanned[]> {
  const { backupId } = manifest;
  const absorbed = absorbedId === undefined ? null : await manager.findOneBy(BackupEntity, { id: absorbedId, vmId: vm.id });
  const fullReason = absorbed === null ? {} : { fullReason: mergedInto(absorbed) };
  await manager.update(BackupEntity, { id: backupId }, { ...lineage(manifest), ...fullReason });
  for (const { key, sizeBytes, digest, parentFile, copiedInFull } of manifestVolumes(manifest)) {
    const reason = copiedInFull ? { copiedInFullReason: null } : {};
    await manager.update(BackupVolumeEntity, { backupId, key }, { sizeBytes, digest, parentFile, copiedInFull, ...reason });
  }
  const parent = manifest.parentBackupId === undefined ? 'without a parent' : `on ${manifest.parentBackupId}`;
  const scanned = [{ manifest, message: `It is recorded as ${manifest.type} ${parent} now, as its manifest says.` }];
  if (absorbed === null || absorbed.id === vm.headBackupId) return scanned;
  await recorder.expunged(manager, [absorbed.id]);
  return [
    ...scanned,
    { manifest, message: `Its former parent "${absorbed.name}" (${absorbed.id}) was merged into it: Expunged.` },
  ];
}
