/** The moment in which a planned deletion is written down: what it stood on may have changed while agents were asked. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { BackupsService } from '../backups/backups.service.js';
import { lockVm } from '../inventory/vm-lookup.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import { someoneWaits } from '../testing/test-database.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { DeletionsService } from './deletions.service.js';

describe('a deletion that begins', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost();
    ({ id: vm } = await protectedVm(manager, agent, made.zone));
  });

  const rows = () => manager.database.dataSource.manager;
  const states = (...ids: readonly Backup[]) =>
    Promise.all(ids.map(async ({ id }) => (await rows().findOneByOrFail(BackupEntity, { id })).state));
  const sent = (): string[][] =>
    agent.accepted.flatMap((command) =>
      command.kind === 'deleteBackups' ? command.request.deletions.map(({ backupIds }) => backupIds) : [],
    );
  async function deleteAll(): Promise<Operation> {
    const wish = { vmId: vm as never, all: true as const, forced: false, dryRun: false };
    const { operations } = await manager.get(DeletionsService).deleteMany(manager.admin, wish);
    return manager.finished(operations[0]?.id ?? '');
  }
  async function failedBackup(): Promise<Backup> {
    const error = { code: 'TOOL_FAILED' as const, message: 'x', fields: {} };
    agent.scripts.push({
      end: { state: OperationState.OPERATION_STATE_FAILED, outcome: VmOutcome.VM_OUTCOME_AS_BEFORE, error },
    });
    const failed = await backUp(manager, vm);
    expect(failed.state).toBe('Failed');
    return failed;
  }
  /** Once, while the deletion waits for the host to say how the VM is. */
  function whileTheHostIsAsked(happens: () => Promise<unknown>): void {
    const refresher = manager.get(VmRefresher);
    const look = refresher.refresh.bind(refresher);
    refresher.refresh = async (known) => {
      refresher.refresh = look;
      const seen = await look(known);
      await happens();
      return seen;
    };
  }

  it('of many VMs waits for them in the order of their ids, so that it and another never wait for each other', async () => {
    const second = randomUUID();
    agent.setDomain(domainOf(second, 'second', { vda: ['/pool/second.qcow2'] }, () => agent.newInode()));
    await waitFor('the VM', async () => (await rows().findOneBy(VmEntity, { id: second })) ?? undefined);
    const { offeringId } = await rows().findOneByOrFail(VmEntity, { id: vm });
    await manager.get(VmsService).assignOffering(manager.admin, second, { offeringId: offeringId ?? '' });
    const [low = '', high = ''] = [vm, second].sort();
    const [ofLow, ofHigh] = [await backUp(manager, low), await backUp(manager, high)];

    const asked = await rows().transaction(async (tx) => {
      await lockVm(tx, low);
      const wish = { ids: [ofHigh.id, ofLow.id], forced: false, dryRun: false };
      const answer = manager.get(DeletionsService).deleteMany(manager.admin, wish);
      await waitFor('it to wait', async () => ((await someoneWaits(manager.database.dataSource)) ? true : undefined));
      await lockVm(tx, high);
      return { answer };
    });
    for (const { id } of (await asked.answer).operations) await manager.finished(id);
    expect(await states(ofLow, ofHigh)).toEqual(['Expunged', 'Expunged']);
  });

  it('spares what was protected while a host was asked, and says so', async () => {
    const [b1, b2] = [await backUp(manager, vm), await backUp(manager, vm)];
    whileTheHostIsAsked(() => manager.get(BackupsService).update(manager.admin, b1.id, { protected: true }));
    expect(await deleteAll()).toMatchObject({
      state: 'Failed',
      error: { code: 'WRONG_STATE', fields: { backupId: b1.id, protected: 'true' } },
    });
    expect(await states(b1, b2)).toEqual(['BackedUp', 'BackedUp']);
    expect(sent()).toEqual([]);
    expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({
      ...{ headBackupId: b2.id, activeOperationId: null, protectionState: 'Ok' },
    });
    await manager.get(BackupsService).update(manager.admin, b1.id, { protected: false });
    expect(await deleteAll()).toMatchObject({ state: 'Succeeded' });
  });

  it('is planned anew when what it stood on has changed otherwise', async () => {
    const [failed, b1] = [await failedBackup(), await backUp(manager, vm)];
    whileTheHostIsAsked(() => rows().update(BackupEntity, { id: failed.id }, { leftoversOnStorage: true }));
    expect(await deleteAll()).toMatchObject({ state: 'Succeeded' });
    expect(await states(failed, b1)).toEqual(['Expunged', 'Expunged']);
    expect(sent().flat().sort()).toEqual([failed.id, b1.id].sort());
  });

  it('takes failed backups without files along with those that have some', async () => {
    const [b1, failed] = [await backUp(manager, vm), await failedBackup()];
    expect(await deleteAll()).toMatchObject({ state: 'Succeeded' });
    expect(await states(b1, failed)).toEqual(['Expunged', 'Expunged']);
    expect(sent()).toEqual([[b1.id]]);
    expect((await manager.get(BackupsService).list(manager.admin, { limit: 10, vmId: vm as never })).items).toEqual([]);
  });

  it('is tried again later when it had begun, was to be planned anew, and could not be', async () => {
    const b1 = await backUp(manager, vm);
    const refresher = manager.get(VmRefresher);
    const seek = refresher.seek.bind(refresher);
    const error = { code: 'PLAN_OUTDATED' as const, message: 'x', fields: {} };
    agent.scripts.push({
      end: { state: OperationState.OPERATION_STATE_FAILED, outcome: VmOutcome.VM_OUTCOME_AS_BEFORE, error },
    });
    const looks: string[] = [];
    refresher.seek = async (known) => {
      looks.push(known.id);
      if (looks.length < 2) return seek(known);
      refresher.seek = seek;
      throw new HoldfastError('WRONG_STATE', 'not now', {});
    };
    expect(await deleteAll()).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });
    expect(await rows().findOneByOrFail(BackupEntity, { id: b1.id })).toMatchObject({
      ...{ state: 'DeleteFailed', error: { code: 'WRONG_STATE' } },
      deleteNotBefore: expect.any(Date),
    });
  });
});
