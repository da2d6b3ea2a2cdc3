/** Restores, and the files that they leave behind, as callers ask for them. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, IsNull } from 'typeorm';
import type { RestoreBackup } from '@holdfast/shared/api/backups.js';
import type { SupersededFile } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { requireBackup } from '../backups/backup-lookup.js';
import { AuditLog } from '../events/audit-log.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import { lockVm, requireVm } from '../inventory/vm-lookup.js';
import { supersededFileView } from '../inventory/vm-view.js';
import { OperationQueue } from '../operations/operation-queue.js';
import { operationView } from '../operations/operation-view.js';
import { SupersededFileEntity } from '../persistence/entities/vm.entities.js';
import { vmRunning, type RestoreInput } from './restore-input.js';
import { snapshotsInTheWay } from './snapshots-in-the-way.js';

@Injectable()
export class RestoresService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly audit: AuditLog,
  ) {}

  /** Restores a stopped VM, or one that is gone, from a backup; the caller must be allowed to see both. VM_RUNNING while it runs. */
  async restore(caller: Caller, backupId: string, input: RestoreBackup): Promise<Operation> {
    if (input.hostId !== undefined) requireAdmin(caller, 'choose the host of a restore');
    const manager = this.dataSource.manager;
    const backup = await requireBackup(manager, caller, backupId);
    if (backup.state !== 'BackedUp') {
      throw new HoldfastError(
        'WRONG_STATE',
        `The backup "${backup.name}" is ${backup.state}; only one that is BackedUp can be restored.`,
        { backupId, state: backup.state },
      );
    }
    // The backup may be older than the VM's present owner.
    const vm = await requireVm(manager, caller, backup.vmId);
    if (vm.powerState === 'Running' || vm.powerState === 'Paused') throw vmRunning(vm);
    if (vm.powerState !== 'Gone' && input.hostId !== undefined && input.hostId !== vm.hostId) {
      throw new HoldfastError(
        'WRONG_STATE',
        `The VM "${vm.name}" is still on its host; it is restored there. Leave the host out.`,
        { vmId: vm.id, hostId: input.hostId },
      );
    }
    const inTheWay = input.dropSnapshots ? undefined : await snapshotsInTheWay(manager, vm);
    if (inTheWay !== undefined) throw inTheWay;
    const hostId = input.hostId ?? vm.hostId;
    if (hostId === null)
      throw new HoldfastError('HOST_UNAVAILABLE', `No host of the VM "${vm.name}" is known. Say on which host to restore it.`, {
        vmId: vm.id,
      });
    const problem = hostProblem(await requireHost(manager, hostId));
    if (problem !== undefined) throw problem;

    const wanted: RestoreInput = {
      acceptDamaged: input.acceptDamaged,
      dropSnapshots: input.dropSnapshots,
      hostId: input.hostId ?? null,
    };
    const row = await this.dataSource.transaction((tx) =>
      this.queue.add(tx, { kind: 'RestoreBackup', vmId: vm.id, hostId, backupId, accountId: vm.accountId, input: wanted }),
    );
    this.audit.changed(caller, 'backup.restore', { backupId, vmId: vm.id, operationId: row.id });
    return operationView(row);
  }

  /** The files that restores of this VM and volumes that are elsewhere now left behind, and that are not released yet. */
  async supersededFiles(caller: Caller, vmId: string): Promise<SupersededFile[]> {
    await requireVm(this.dataSource.manager, caller, vmId);
    const rows = await this.dataSource.manager.find(SupersededFileEntity, {
      where: { vmId },
      order: { supersededAt: 'ASC', path: 'ASC' },
    });
    return rows.map(supersededFileView);
  }

  /**
   * Deletes left-behind files; without `ids`: all that restores of the VM left on one host, and none of those that go only by
   * name. The agent proves first that nothing uses them.
   */
  async releaseSupersededFiles(caller: Caller, vmId: string, ids?: readonly string[]): Promise<Operation> {
    await requireVm(this.dataSource.manager, caller, vmId);
    const row = await this.dataSource.transaction(async (manager) => {
      // What becomes of the files is written under the VM's lock only: each is released once.
      const vm = await lockVm(manager, vmId);
      const free = await manager.find(SupersededFileEntity, {
        where: { vmId, releaseOperationId: IsNull() },
        order: { supersededAt: 'ASC' },
      });
      const unknown = ids?.find((id) => !free.some((file) => file.id === id));
      if (unknown !== undefined)
        throw new HoldfastError('NOT_FOUND', `The VM "${vm.name}" has no left-behind file ${unknown} that could be released.`, {
          vmId,
          fileId: unknown,
        });
      const wanted = free.filter((file) => (ids === undefined ? !file.byNameOnly : ids.includes(file.id)));
      const [first] = wanted;
      if (first === undefined) {
        const named =
          free.length === 0 ? '' : ' Former layers of volumes that are elsewhere now are released only by name, each.';
        throw new HoldfastError('NOT_FOUND', `The VM "${vm.name}" has no left-behind files to release.${named}`, { vmId });
      }
      const chosen = wanted.filter((file) => file.hostId === first.hostId);
      if (ids !== undefined && chosen.length < ids.length)
        throw new HoldfastError('INVALID_INPUT', 'These files are on different hosts. Release those of one host at a time.', {
          vmId,
        });
      const operation = await this.queue.add(manager, {
        kind: 'ReleaseFiles',
        vmId,
        hostId: first.hostId,
        accountId: vm.accountId,
        input: {},
      });
      await manager.update(SupersededFileEntity, { id: In(chosen.map((file) => file.id)) }, { releaseOperationId: operation.id });
      return operation;
    });
    this.audit.changed(caller, 'superseded-files.release', { vmId, operationId: row.id });
    return operationView(row);
  }
}
