/** Deleting backups from call to rows: a whole manager, a real database, hosts in memory behind real gRPC and TLS. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Backup, Deletion } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { DeleteBackupsRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, StepState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Caller } from '../access/caller.js';
import { BackupsService } from '../backups/backups.service.js';
import { OperationsService } from '../operations/operations.service.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import { RestoresService } from '../restores/restores.service.js';
import { StoragesService } from '../storage/storages.service.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { protectedVm } from '../testing/protected-vm.js';
import { TestCluster } from '../testing/test-database.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { DeletionListeners } from './deletion-listeners.js';
import { BackupHistory } from './backup-history.js';
import { DeletionsService } from './deletions.service.js';
import { UsageService } from './usage.service.js';

describe('deleting backups', () => {
  let cluster: TestCluster;
  let databases: Awaited<ReturnType<TestCluster['newDatabase']>>;
  let manager: TestManager;
  let agent: FakeAgent;
  let zone: string;
  let storageId: string;
  let vm: string;

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());

  beforeEach(async () => {
    databases = await cluster.newDatabase();
    manager = await TestManager.start(await databases.open(), managerFolder(cluster.folder));
    zone = await manager.newZone();
    agent = await manager.newHost(zone);
    ({ id: vm, storageId } = await protectedVm(manager, agent, zone, { name: 'db', chainSize: 3 }));
  });
  afterEach(async () => {
    await manager.stop();
    await agent.stop();
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const stateOf = async (id: string) => (await rows().findOneByOrFail(BackupEntity, { id })).state;
  const states = (...ids: readonly Backup[]) => Promise.all(ids.map(({ id }) => stateOf(id)));
  const wish = { forced: false, dryRun: false };
  const ask = (backup: { id: string }, change: Partial<typeof wish> = {}, caller: Caller = manager.admin): Promise<Deletion> =>
    manager.get(DeletionsService).deleteOne(caller, backup.id, { ...wish, ...change });
  const operationOf = ({ operations }: Deletion): string => operations[0]?.id ?? '';
  const remove = async (backup: { id: string }, change: Partial<typeof wish> = {}): Promise<Operation> =>
    manager.finished(operationOf(await ask(backup, change)));
  async function backup(name: string, more: { isolated?: boolean } = {}): Promise<Backup> {
    const asked = { name, description: '', isolated: false, quiesce: 'no' as const, ...more };
    const operation = await manager.get(BackupsService).create(manager.admin, vm, asked);
    await manager.finished(operation.id);
    return manager.get(BackupsService).get(manager.admin, operation.backupId ?? '');
  }
  const sent = (): DeleteBackupsRequest[] =>
    agent.accepted.flatMap((command) => (command.kind === 'deleteBackups' ? command.request : []));
  const failing = (done: readonly string[], outcome = VmOutcome.VM_OUTCOME_AS_BEFORE) => ({
    state: OperationState.OPERATION_STATE_FAILED,
    outcome,
    error: { code: 'STORAGE_MISSING' as const, message: 'it is away', fields: {} },
    result: deleted(done),
  });
  const deleted = (expungedBackupIds: readonly string[]) => ({
    $case: 'deleteBackups' as const,
    value: { expungedBackupIds: [...expungedBackupIds], freedBytes: 0n },
  });
  const stepOf = (subject: string, state: StepState) => ({
    ...{ name: 'delete', subject, state, startedAtUnixMs: 1n, finishedAtUnixMs: 2n },
  });
  const dueNow = (): Promise<unknown> =>
    rows().update(BackupEntity, { vmId: vm, state: 'DeleteFailed' }, { deleteNotBefore: new Date(0) });
  const running = (id: string) => waitFor('the agent to work', () => agent.operations.get(id));

  it('from the middle and from the end of a chain: rows, files, head, delta on primary, usage', async () => {
    const [b1, b2] = [await backup('b1'), await backup('b2')];
    const removed: string[][] = [];
    manager.get(DeletionListeners).onRemoved(async (_tx, _vm, ids) => void removed.push([...ids]));

    const first = await ask(b1);
    expect(first.plans).toMatchObject([{ removed: [{ id: b1.id }], expunged: [], mergesOnPrimary: false, freedBytes: '0' }]);
    expect(await manager.finished(operationOf(first))).toMatchObject({ state: 'Succeeded', backupId: b1.id });
    expect(await states(b1, b2)).toEqual(['Removed', 'BackedUp']);
    expect(removed).toEqual([[b1.id]]);
    expect(sent()).toEqual([]);
    const listed = await manager.get(BackupsService).list(manager.admin, { limit: 10 });
    expect(listed.items.map(({ id }) => id)).toEqual([b2.id]);
    expect(await manager.get(UsageService).list(manager.admin, {})).toEqual([
      { backups: 2, sizeBytes: '4000', deletedBytes: '2000' },
    ]);
    await expect(
      manager.get(RestoresService).restore(manager.admin, b1.id, { acceptDamaged: false, dropSnapshots: false }),
    ).rejects.toMatchObject({
      code: 'WRONG_STATE',
    });

    const delta = (await rows().findOneByOrFail(VolumeDeltaEntity, { vmId: vm })).path;
    await remove(b2);
    expect(sent()).toMatchObject([
      {
        deletions: [{ storage: { id: storageId }, backupIds: [b2.id, b1.id] }],
        volumes: [{ target: 'vda', deltaPaths: [delta] }],
      },
    ]);
    expect(await states(b1, b2)).toEqual(['Expunged', 'Expunged']);
    expect(await vmRow()).toMatchObject({
      ...{ headBackupId: null, protectionState: 'Ok', chainEndedReason: 'the backup "b2" was deleted' },
    });
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
    expect(await manager.get(UsageService).list(manager.admin, {})).toEqual([]);
    expect(await backup('b3')).toMatchObject({
      type: 'FULL',
      fullReason: expect.stringContaining('the backup "b2" was deleted'),
    });
    // Once more is harmless.
    expect(await remove(b2)).toMatchObject({ state: 'Succeeded', plan: ['nothing is left to delete'] });
  });

  it('the head alone: the one before becomes the end of its chain', async () => {
    const [b1, b2] = [await backup('b1'), await backup('b2')];
    await remove(b2);
    expect(await rows().findOneByOrFail(BackupEntity, { id: b1.id })).toMatchObject({ state: 'BackedUp', endOfChain: true });
    expect(await states(b2)).toEqual(['Expunged']);
    expect(await manager.get(BackupsService).get(manager.admin, b1.id)).toMatchObject({ endOfChain: true });
  });

  it('by force, shown first: nothing happens in the dry run, then the children go too', async () => {
    const [b1, b2, b3] = [await backup('b1'), await backup('b2'), await backup('b3')];
    const shown = await ask(b1, { forced: true, dryRun: true });
    expect(shown).toMatchObject({ operations: [], plans: [{ expunged: [{ id: b3.id }, { id: b2.id }, { id: b1.id }] }] });
    expect(shown.plans[0]?.freedBytes).toBe('6000');
    expect(await states(b1, b2, b3)).toEqual(['BackedUp', 'BackedUp', 'BackedUp']);
    await remove(b1, { forced: true });
    expect(await states(b1, b2, b3)).toEqual(['Expunged', 'Expunged', 'Expunged']);
    expect(sent()).toMatchObject([{ deletions: [{ backupIds: [b3.id, b2.id, b1.id] }], volumes: [] }]);
  });

  it('protected: refused until unprotected, also when it is protected while the deletion waits for its turn', async () => {
    const b1 = await backup('b1');
    const change = (input: object) => manager.get(BackupsService).update(manager.admin, b1.id, input);
    expect(await change({ protected: true, name: 'kept', description: 'why' })).toMatchObject({
      ...{ protected: true, name: 'kept', description: 'why' },
    });
    await expect(ask(b1)).rejects.toMatchObject({ code: 'WRONG_STATE', fields: { backupId: b1.id, protected: 'true' } });
    expect((await ask(b1, { dryRun: true })).plans[0]?.refusals).toMatchObject([{ backupId: b1.id }]);
    await change({ protected: false });

    agent.scripts.push({ hold: true });
    const before = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { name: 'i', description: '', isolated: true, quiesce: 'no' });
    await running(before.id);
    const asked = await ask(b1);
    await change({ protected: true });
    agent.resume(before.id);
    expect(await manager.finished(operationOf(asked))).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });
    expect(await states(b1)).toEqual(['BackedUp']);
    expect(await vmRow()).toMatchObject({ headBackupId: b1.id });

    await change({ protected: false });
    await remove(b1);
    await expect(change({ protected: true })).rejects.toMatchObject({ code: 'WRONG_STATE' });
  });

  it('being taken or restored: refused with the operation; one that is asked for later is planned anew', async () => {
    const b1 = await backup('b1');
    agent.scripts.push({ hold: true });
    const taking = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { name: 'b2', description: '', isolated: false, quiesce: 'no' });
    await running(taking.id);
    await expect(ask({ id: taking.backupId ?? '' })).rejects.toMatchObject({
      ...{ code: 'WRONG_STATE', fields: { operationId: taking.id } },
    });
    agent.resume(taking.id);
    await manager.finished(taking.id);

    const domain = agent.domains.get(vm);
    if (domain !== undefined) agent.setDomain({ ...domain, state: 'DOMAIN_STATE_SHUT_OFF' as never });
    await waitFor('it is stopped', async () => ((await vmRow()).powerState === 'Stopped' ? true : undefined));
    agent.scripts.push({ hold: true });
    const restore = await manager
      .get(RestoresService)
      .restore(manager.admin, b1.id, { acceptDamaged: false, dropSnapshots: false });
    await running(restore.id);
    await expect(ask(b1)).rejects.toMatchObject({ code: 'IN_USE', fields: { operationId: restore.id } });
    // Its child is in nobody's way, and waits for its turn.
    const child = await ask({ id: taking.backupId ?? '' });
    agent.resume(restore.id);
    await manager.finished(operationOf(child));
    expect(await stateOf(taking.backupId ?? '')).toBe('Expunged');
    expect(await states(b1)).toEqual(['BackedUp']);
  });

  it('a storage that is away: what is done is done, the rest is DeleteFailed, still counted, and tried again', async () => {
    const [b1, b2] = [await backup('b1'), await backup('b2')];
    agent.scripts.push({ end: failing([b2.id], VmOutcome.VM_OUTCOME_MERGE_PENDING) });
    expect(await remove(b1, { forced: true })).toMatchObject({ state: 'Failed', error: { code: 'STORAGE_MISSING' } });
    expect(await states(b1, b2)).toEqual(['DeleteFailed', 'Expunged']);
    expect(await manager.get(BackupsService).get(manager.admin, b1.id)).toMatchObject({ error: { code: 'STORAGE_MISSING' } });
    expect(await manager.get(UsageService).list(manager.admin, {})).toMatchObject([{ backups: 1, deletedBytes: '2000' }]);
    // The deltas of the head are merged by the clean-up, whatever became of the files.
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);

    const row = await rows().findOneByOrFail(BackupEntity, { id: b1.id });
    expect(row.deleteNotBefore?.getTime()).toBeGreaterThan(Date.now());
    agent.scripts.push({ end: failing([]) });
    await dueNow();
    await waitFor('a second try', async () =>
      (await rows().findOneByOrFail(BackupEntity, { id: b1.id })).deleteAttempts === 1 && agent.scripts.length === 0
        ? true
        : undefined,
    );
    await waitFor('its end', async () => ((await vmRow()).activeOperationId === null ? true : undefined));
    expect(await states(b1)).toEqual(['DeleteFailed']);
    await dueNow();
    await waitFor('the third try', async () => ((await stateOf(b1.id)) === 'Expunged' ? true : undefined));
    expect(sent().at(-1)).toMatchObject({ deletions: [{ backupIds: [b1.id] }] });
  });

  it('cancelled while waiting nothing goes; cancelled half way what was not touched lives again', async () => {
    const [b1, b2, b3] = [await backup('b1'), await backup('b2'), await backup('b3')];
    agent.scripts.push({ hold: true });
    const half = await ask(b1, { forced: true });
    await running(operationOf(half));
    expect(await states(b1, b2, b3)).toEqual(['Removed', 'Removed', 'Removed']);
    const waiting = await ask(b1);
    await manager.get(OperationsService).cancel(manager.admin, operationOf(waiting));
    await manager.finished(operationOf(waiting));

    const steps = [stepOf(b3.id, StepState.STEP_STATE_DONE), stepOf(b2.id, StepState.STEP_STATE_FAILED)];
    agent.resume(operationOf(half), {
      end: {
        ...{ state: OperationState.OPERATION_STATE_CANCELLED, outcome: VmOutcome.VM_OUTCOME_AS_BEFORE },
        ...{ error: { code: 'CANCELLED', message: 'by request', fields: {} }, steps, result: deleted([b3.id]) },
      },
    });
    await manager.finished(operationOf(half));
    expect(await states(b1, b2, b3)).toEqual(['BackedUp', 'DeleteFailed', 'Expunged']);
    expect(await manager.get(BackupsService).get(manager.admin, b1.id)).toMatchObject({ endOfChain: true });
  });

  it('the agent does not know the operation any more: the deletion is asked for again', async () => {
    const b1 = await backup('b1', { isolated: true });
    agent.scripts.push({ hold: true });
    const asked = await ask(b1);
    await running(operationOf(asked));
    agent.loseState();
    await agent.stop();
    await agent.start();
    expect(await manager.finished(operationOf(asked))).toMatchObject({ state: 'Failed', error: { code: 'INTERRUPTED' } });
    expect(await states(b1)).toEqual(['DeleteFailed']);
  });

  it('a VM that is gone: any host of the zone does it; a host that is down and holds the delta is waited for', async () => {
    const b1 = await backup('b1');
    const isolated = await backup('i', { isolated: true });
    await agent.stop();
    const other = await manager.newHost(zone);
    try {
      await manager.hostState((await vmRow()).hostId ?? '', 'Down');
      const head = await ask(b1);
      await waitFor('the reason', async () => {
        const operation = await manager.get(OperationsService).get(manager.admin, operationOf(head));
        return operation.waitingFor?.includes('has a delta on primary') === true ? true : undefined;
      });
      await manager.get(OperationsService).cancel(manager.admin, operationOf(head));
      await manager.finished(operationOf(head));
      // What has nothing on primary needs no particular host.
      await remove(isolated);
      expect(await states(isolated, b1)).toEqual(['Expunged', 'BackedUp']);
      await rows().update(VmEntity, { id: vm }, { powerState: 'Gone' });
      await remove(b1);
      expect(await states(b1)).toEqual(['Expunged']);
      expect(other.accepted.map(({ kind }) => kind)).toEqual(['deleteBackups', 'deleteBackups']);
      expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
    } finally {
      await other.stop();
    }
  });

  it('a failed backup goes with its leftovers; the chain goes on', async () => {
    const b1 = await backup('b1');
    agent.scripts.push({ end: failing([]) });
    const failed = await backup('broken');
    expect(failed.state).toBe('Failed');
    await rows().update(BackupEntity, { id: failed.id }, { leftoversOnStorage: true });
    await remove(failed);
    expect(await rows().findOneByOrFail(BackupEntity, { id: failed.id })).toMatchObject({
      ...{ state: 'Expunged', leftoversOnStorage: false },
    });
    expect(await vmRow()).toMatchObject({ headBackupId: b1.id });
    expect(await backup('b2')).toMatchObject({ type: 'INCREMENTAL', parentId: b1.id });
  });

  it('many at once: one operation for each VM, all or nothing; all of a VM; as the system', async () => {
    const second = randomUUID();
    agent.setDomain(domainOf(second, 'web', { vda: ['/pool/web.qcow2'] }, () => agent.newInode()));
    await waitFor('the VM', async () => (await rows().findOneBy(VmEntity, { id: second })) ?? undefined);
    const offeringId = (await vmRow()).offeringId ?? '';
    await manager.get(VmsService).assignOffering(manager.admin, second, { offeringId });
    const [b1, b2] = [await backup('b1'), await backup('b2')];
    const first = vm;
    vm = second;
    const other = await backup('other');
    vm = first;
    const service = manager.get(DeletionsService);
    const ids = [b1.id, b2.id, other.id];
    await manager.get(BackupsService).update(manager.admin, other.id, { protected: true });
    await expect(service.deleteMany(manager.admin, { ids, ...wish })).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(await manager.get(OperationsService).list(manager.admin, { limit: 10, kind: 'DeleteBackups' })).toMatchObject({
      items: [],
    });
    await manager.get(BackupsService).update(manager.admin, other.id, { protected: false });

    const both = await service.deleteMany(manager.admin, { ids: [b2.id, other.id], ...wish });
    expect(both.operations).toHaveLength(2);
    for (const { id } of both.operations) await manager.finished(id);
    expect(await states(b1, b2, other)).toEqual(['BackedUp', 'Expunged', 'Expunged']);
    const all = await service.deleteMany(manager.admin, { vmId: vm as never, all: true, ...wish });
    await manager.finished(operationOf(all));
    expect(await states(b1)).toEqual(['Expunged']);

    const b3 = await backup('b3');
    const asked = await manager.database.dataSource.transaction((tx) => service.deleteAsSystem(tx, vm, [b3.id], 'keep-last 1'));
    await manager.finished(asked.id);
    expect(await states(b3)).toEqual(['Expunged']);
  });

  it("a user deletes its own, and takes nothing of another account's with it", async () => {
    const [shop, bank] = [await manager.newUser('shop'), await manager.newUser('bank')];
    const own = (caller: Caller) => manager.get(VmsService).update(manager.admin, vm, { accountId: caller.accountId as never });
    await own(shop);
    const b1 = await backup('b1');
    await own(bank);
    const b2 = await backup('b2');
    await expect(ask(b2, {}, shop)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(ask(b1, { forced: true }, shop)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await manager.finished(operationOf(await ask(b1, {}, shop)));
    expect(await states(b1, b2)).toEqual(['Removed', 'BackedUp']);
    expect(await manager.get(UsageService).list(shop, {})).toMatchObject([{ accountId: shop.accountId, deletedBytes: '2000' }]);
    expect(await manager.get(UsageService).list(manager.admin, { vmId: vm as never })).toHaveLength(2);
  });

  it('what a schedule could not take is forgotten after a while, once nothing of it is left', async () => {
    const [old, mine, dirty, fresh] = [await backup('1'), await backup('2'), await backup('3'), await backup('4')];
    const failed = { state: 'Failed' as const, scheduleId: randomUUID(), finishedAt: new Date(Date.now() - 31 * 86_400_000) };
    await rows().delete(VolumeDeltaEntity, { vmId: vm });
    for (const { id } of [old, mine, dirty, fresh]) await rows().update(BackupEntity, { id }, failed);
    await rows().update(BackupEntity, { id: mine.id }, { scheduleId: null });
    await rows().update(BackupEntity, { id: dirty.id }, { leftoversOnStorage: true });
    await rows().update(BackupEntity, { id: fresh.id }, { finishedAt: new Date() });
    await manager.get(BackupHistory).round();
    const left = await rows().findBy(BackupEntity, { vmId: vm });
    expect(left.map(({ id }) => id).sort()).toEqual([mine.id, dirty.id, fresh.id].sort());
  });

  it('what is gone is kept as history for a while, and does not keep its storage', async () => {
    const isolated = await backup('i', { isolated: true });
    const b1 = await backup('b1');
    await expect(manager.get(StoragesService).delete(manager.admin, storageId)).rejects.toMatchObject({ code: 'IN_USE' });
    await remove(isolated);
    await remove(b1);
    const history = manager.get(BackupHistory);
    await history.round();
    expect(await states(isolated)).toEqual(['Expunged']);
    await rows().update(BackupEntity, { id: isolated.id }, { expungedAt: new Date(Date.now() - 31 * 86_400_000) });
    await history.round();
    expect(await rows().findBy(BackupEntity, { vmId: vm })).toMatchObject([{ id: b1.id }]);
    await manager.get(StoragesService).delete(manager.admin, storageId);
    expect(await rows().countBy(BackupEntity, { vmId: vm })).toBe(0);
  });
});
