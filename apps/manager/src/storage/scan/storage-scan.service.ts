/**
 * Rebuilds records from a storage, on demand: after the database was lost, or set back to an earlier day. Owns that it stands
 * on the judgement of the check, and on hosts that have all said what they work on; nothing on the storage is written.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ScannedBackup, ScanStorage, StorageScan } from '@holdfast/shared/api/storage.js';
import type { BackupId, StorageId, VmId } from '@holdfast/shared/ids/ids.js';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { requireAdmin, type Caller } from '../../access/caller.js';
import { DeletionRecorder } from '../../deletions/deletion-recorder.js';
import { AuditLog } from '../../events/audit-log.js';
import { Clock } from '../../platform/clock.js';
import { StorageJudge } from '../check/storage-judge.js';
import { planScan, type LeftBackup, type VmScan } from './plan-scan.js';
import { takeUp, type Scanned, type TakenUp, type TakeUpContext } from './take-up.js';

@Injectable()
export class StorageScanService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly judge: StorageJudge,
    private readonly recorder: DeletionRecorder,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /**
   * Takes up every whole backup of the storage that nobody recorded, and sets records right that a manifest contradicts; each
   * VM in a transaction of its own. HOST_UNAVAILABLE while a host of the zone cannot say what it is working on, unless it is
   * only asked what would be done. What is left is named; a second scan finds nothing more to do.
   */
  async scan(caller: Caller, storageId: string, { dryRun }: ScanStorage): Promise<StorageScan> {
    requireAdmin(caller, 'scan storages');
    const judgement = await this.judge.of(storageId);
    const [silent] = judgement.silent;
    if (silent !== undefined && !dryRun) throw silent;
    const { storage, entries, backups, busyVmIds, begun } = judgement;
    const plan = planScan({ storageId, entries, backups, busyVmIds });
    const now = this.clock.now();
    const done: TakenUp[] = [];
    for (const vm of plan.vms) done.push(await this.write({ storage, recorder: this.recorder, begun, now }, vm, dryRun));
    const takenUp = done.flatMap((one) => one.takenUp);
    const corrected = done.flatMap((one) => one.corrected);
    if (!dryRun)
      this.audit.changed(caller, 'storage.scan', {
        ...{ storageId, takenUp: idsOf(takenUp), corrected: idsOf(corrected) },
        newVms: done.flatMap(({ newVm }) => newVm?.id ?? []).join(', '),
      });
    return {
      ...{ storageId: storage.id as StorageId, scannedAt: now.toISOString(), dryRun },
      takenUp: takenUp.map(scannedView),
      corrected: corrected.map(scannedView),
      newVms: done.flatMap(({ newVm }) => (newVm === undefined ? [] : { vmId: newVm.id as VmId, vmName: newVm.name })),
      left: [...plan.left, ...done.flatMap((one) => one.left)].map(leftView),
      warnings: done.flatMap((one) => one.warnings),
      notChecked: [...judgement.notChecked],
    };
  }

  /** The same writes whether they are kept or not, so that a dry run says what would be done. */
  private async write(context: TakeUpContext, vm: VmScan, dryRun: boolean): Promise<TakenUp> {
    const runner = this.dataSource.createQueryRunner();
    try {
      await runner.startTransaction();
      const done = await takeUp(runner.manager, context, vm);
      if (dryRun) await runner.rollbackTransaction();
      else await runner.commitTransaction();
      return done;
    } catch (error) {
      if (runner.isTransactionActive) await runner.rollbackTransaction();
      throw error;
    } finally {
      await runner.release();
    }
  }
}

function idsOf(scanned: readonly Scanned[]): string {
  return [...new Set(scanned.map(({ manifest }) => manifest.backupId))].join(', ');
}

function scannedView({ manifest, message }: Scanned): ScannedBackup {
  const { backupId, backupName, vm, frozenAt }: Manifest = manifest;
  return { backupId: backupId as BackupId, backupName, vmId: vm.id as VmId, vmName: vm.name, frozenAt, message };
}

function leftView({ backupId, backupName, vmId, vmName, frozenAt, reason }: LeftBackup): ScannedBackup {
  const when = frozenAt === undefined ? {} : { frozenAt };
  return { backupId: backupId as BackupId, backupName, vmId: vmId as VmId, vmName, ...when, message: reason };
}
