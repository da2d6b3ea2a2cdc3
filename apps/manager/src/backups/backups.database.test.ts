/** Backups from call to published result: a whole manager, a real database, a host in memory behind real gRPC and TLS. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Backup, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { TakeBackupRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { OperationSweep } from '../operations/operation-sweep.js';
import { OperationsService } from '../operations/operations.service.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup, startBackup } from '../testing/protected-vm.js';
import { TestCluster } from '../testing/test-database.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { BackupsService } from './backups.service.js';

const WISH: CreateBackup = { description: '', isolated: false, quiesce: 'no' };
const FAILED = OperationState.OPERATION_STATE_FAILED;

describe('a backup', () => {
  let cluster: TestCluster;
  let databases: Awaited<ReturnType<TestCluster['newDatabase']>>;
  let folder: string;
  let manager: TestManager;
  let agent: FakeAgent;
  let zone: string;
  let vm: string;
  const hostile = `db "1" '$(touch /tmp/x)'\n; rm -rf /`;

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());

  beforeEach(async () => {
    databases = await cluster.newDatabase();
    folder = managerFolder(cluster.folder);
    manager = await TestManager.start(await databases.open(), folder);
    zone = await manager.newZone();
    agent = await manager.newHost(zone, hostile);
    const disks = { vda: ['/pool/root.qcow2'], vdb: ['/pool/data 1\n.qcow2'] };
    vm = (await protectedVm(manager, agent, zone, { name: hostile, disks, chainSize: 3 })).id;
  });
  afterEach(async () => {
    await manager.stop();
    await agent.stop();
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const take = (wish: Partial<CreateBackup> = {}): Promise<Operation> => startBackup(manager, vm, wish);
  const show = (operation: Operation): Promise<Backup> =>
    manager.get(BackupsService).get(manager.admin, operation.backupId ?? '');
  const backup = (wish: Partial<CreateBackup> = {}): Promise<Backup> => backUp(manager, vm, wish);
  const sent = (index: number): TakeBackupRequest => sentBackup(agent, index);
  const running = (id: string) => waitFor('the agent to work', () => agent.operations.get(id));

  it('a chain of three and an isolated one: what is told, recorded and left on primary', async () => {
    const b1 = await backup();
    expect(b1).toMatchObject({
      state: 'BackedUp',
      type: 'FULL',
      fullReason: 'the VM has no open backup chain',
      endOfChain: false,
      vmName: hostile,
    });
    expect(b1.volumes.map((volume) => [volume.target, volume.copiedInFull])).toEqual([
      ['vda', true],
      ['vdb', true],
    ]);
    expect((await vmRow()).headBackupId).toBe(b1.id);

    const isolated = await backup({ isolated: true });
    expect(isolated).toMatchObject({ type: 'FULL', isolated: true });
    expect((await vmRow()).headBackupId).toBe(b1.id);

    const b2 = await backup({ name: 'second' });
    expect(b2).toMatchObject({ type: 'INCREMENTAL', parentId: b1.id, endOfChain: false, name: 'second' });
    expect(b2.volumes[0]?.parentFile).toBe(`../${b1.id}/${b2.volumes[0]?.key}.qcow2`);
    const request = sent(2);
    expect(request.volumes[0]).toMatchObject({
      parentDeltaPath: sent(0).volumes[0]?.newDeltaPath,
      mergeDeltaPaths: [sent(0).volumes[0]?.newDeltaPath],
    });
    expect(request.volumes[0]?.parentDeltaInode).toBeGreaterThan(0n);
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(2);

    const b3 = await backup();
    expect(b3).toMatchObject({ type: 'INCREMENTAL', parentId: b2.id, endOfChain: true });
    expect(await vmRow()).toMatchObject({ headBackupId: null, protectionState: 'Ok', activeOperationId: null });
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
    expect(agent.domains.get(vm)?.disks.map((disk) => disk.layers.map((layer) => layer.path))).toEqual([
      ['/pool/root.qcow2'],
      ['/pool/data 1\n.qcow2'],
    ]);

    const b4 = await backup();
    expect(b4.fullReason).toMatch(/was the end of its chain/);
    const tokens = agent.accepted.map((command) => command.request.header?.fencingToken);
    expect(tokens).toEqual([1n, 2n, 3n, 4n, 5n]);
    await waitFor('the agent to forget', () => (agent.forgotten.length === 5 ? true : undefined));
  });

  it('a second one while one runs waits for its turn and is planned then', async () => {
    agent.scripts.push({ hold: true });
    const first = await take();
    const second = await take();
    expect(second.state).toBe('Queued');
    await running(first.id);
    expect(await show(second)).toMatchObject({ state: 'Queued' });
    agent.resume(first.id);
    await manager.finished(second.id);
    expect(await show(second)).toMatchObject({ state: 'BackedUp', type: 'INCREMENTAL', parentId: first.backupId });
  });

  it('shows steps and progress, to one who watches too', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    const watched: string[] = [];
    const watcher = (async () => {
      for await (const now of manager.get(OperationsService).watch(manager.admin, operation.id))
        watched.push(`${now.state} ${now.progress[0]?.doneBytes ?? '-'}`);
    })();
    agent.progress(operation.id, { progress: [{ key: 'k', target: 'vda', phase: 'copy', doneBytes: 5n, totalBytes: 0n }] });
    await waitFor('progress', () => watched.find((line) => line === 'Running 5'));
    agent.resume(operation.id);
    await watcher;
    expect(watched.at(-1)).toMatch(/^Succeeded/);
  });

  it('cancelled before its turn nothing happens on the host; cancelled while running it is undone', async () => {
    agent.scripts.push({ hold: true });
    const first = await take();
    const second = await take();
    await running(first.id);
    await manager.get(OperationsService).cancel(manager.admin, second.id);
    expect(await manager.finished(second.id)).toMatchObject({ state: 'Cancelled' });
    expect(agent.accepted).toHaveLength(1);
    await manager.get(OperationsService).cancel(manager.admin, first.id);
    expect(await manager.finished(first.id)).toMatchObject({ state: 'Cancelled', error: { code: 'CANCELLED' } });
    expect(await show(first)).toMatchObject({ state: 'Failed', error: { code: 'CANCELLED' } });
    expect(agent.cancelled).toEqual([first.id]);
    await expect(manager.get(OperationsService).cancel(manager.admin, first.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
  });

  it('a cancellation that does not arrive at the agent is sent again', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    agent.cancelRefusals.push(new HoldfastError('INTERRUPTED', 'not now'));
    await manager.get(OperationsService).cancel(manager.admin, operation.id);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Cancelled' });
    expect([agent.cancelRefusals, agent.cancelled]).toEqual([[], [operation.id]]);
  });

  it('an outdated plan is made again, at most three times', async () => {
    const outdated = new HoldfastError('PLAN_OUTDATED', 'not as planned');
    agent.scripts.push(
      { refuse: outdated },
      { end: { state: FAILED, outcome: VmOutcome.VM_OUTCOME_AS_BEFORE, error: outdated.toData() } },
    );
    expect(await backup()).toMatchObject({ state: 'BackedUp' });
    expect(new Set(agent.accepted.map((command) => command.request.header?.operationId)).size).toBe(2);
    agent.scripts.push({ refuse: outdated }, { refuse: outdated }, { refuse: outdated }, { refuse: outdated });
    expect(await backup()).toMatchObject({ state: 'Failed', error: { code: 'PLAN_OUTDATED' } });
    expect(await vmRow()).toMatchObject({ protectionState: 'Ok' });
  });

  it('a failed copy: the backup says why, the VM is as before, the chain goes on', async () => {
    const b1 = await backup();
    agent.scripts.push({
      end: {
        state: FAILED,
        outcome: VmOutcome.VM_OUTCOME_AS_BEFORE,
        error: { code: 'STORAGE_FULL', message: 'full', fields: {} },
      },
    });
    expect(await backup()).toMatchObject({ state: 'Failed', error: { code: 'STORAGE_FULL' }, volumes: [] });
    expect(await vmRow()).toMatchObject({ protectionState: 'Ok', headBackupId: b1.id });
    expect(await backup()).toMatchObject({ state: 'BackedUp', type: 'INCREMENTAL', parentId: b1.id });
  });

  it('a chain whose files are not whole on their storage ends: the next backup is full and says why', async () => {
    const b1 = await backup({ name: 'first' });
    const b2 = await backup();
    const fields = { backupId: b1.id, path: '/mnt/s/first.qcow2' };
    const error = { code: 'BACKUP_DAMAGED' as const, message: 'gone', fields };
    agent.scripts.push({ end: { state: FAILED, outcome: VmOutcome.VM_OUTCOME_AS_BEFORE, error } });
    expect(await backup()).toMatchObject({ state: 'Failed', type: 'INCREMENTAL', error: { code: 'BACKUP_DAMAGED' } });
    expect(await vmRow()).toMatchObject({ protectionState: 'Ok', headBackupId: null });
    expect(await manager.get(BackupsService).get(manager.admin, b2.id)).toMatchObject({ endOfChain: true, state: 'BackedUp' });
    const b4 = await backup();
    expect(b4).toMatchObject({ state: 'BackedUp', type: 'FULL', endOfChain: false });
    expect(b4.fullReason).toContain('the backup "first" is not whole on its storage (/mnt/s/first.qcow2)');
    // What the old head's delta tracked is in the new backup, so it goes.
    expect(sent(3).volumes[0]?.mergeDeltaPaths).toEqual([sent(1).volumes[0]?.newDeltaPath]);
    expect(await backup()).toMatchObject({ state: 'BackedUp', type: 'INCREMENTAL', parentId: b4.id });
  });

  it('unassigning ends the chain and merges; a further backup is refused', async () => {
    const b1 = await backup();
    const operation = await manager.get(VmsService).unassignOffering(manager.admin, vm);
    expect(await manager.finished(operation.id)).toMatchObject({
      state: 'Succeeded',
      plan: expect.arrayContaining([expect.stringContaining('merge')]),
      planned: expect.arrayContaining([expect.objectContaining({ action: 'merge', path: sent(0).volumes[0]?.newDeltaPath })]),
    });
    expect(await vmRow()).toMatchObject({ headBackupId: null, offeringId: null });
    expect(await manager.get(BackupsService).get(manager.admin, b1.id)).toMatchObject({ endOfChain: true, state: 'BackedUp' });
    expect(agent.domains.get(vm)?.disks[0]?.layers).toHaveLength(1);
    await expect(take()).rejects.toMatchObject({ code: 'NO_OFFERING' });
  });

  it('a manager that ends in the middle: its successor re-attaches and records the result', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    await manager.stop();
    agent.resume(operation.id);
    manager = await TestManager.start(await databases.open(), folder);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
    expect(agent.accepted).toHaveLength(1);
    expect(await show(operation)).toMatchObject({ state: 'BackedUp' });
  });

  it('a manager that was killed: its lease runs out and another takes over', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    await waitFor('acceptance', async () =>
      (await rows().findOneByOrFail(OperationEntity, { id: operation.id })).accepted ? true : undefined,
    );
    await manager.stop();
    manager = await TestManager.start(await databases.open(), folder);
    // As a killed one leaves it: owned, with a lease that nobody renews.
    await rows().update(
      OperationEntity,
      { id: operation.id },
      { owner: randomUUID(), leaseUntil: new Date(Date.now() + 1000), attempt: () => 'attempt + 1' },
    );
    agent.resume(operation.id);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
    expect(agent.accepted).toHaveLength(1);
  });

  it('an agent that was not told to forget an operation is told later', async () => {
    const made = await take();
    await manager.finished(made.id);
    await waitFor('the agent to forget', () => (agent.forgotten.length === 1 ? true : undefined));
    await waitFor('that on record', async () =>
      (await rows().findOneByOrFail(OperationEntity, { id: made.id })).forgotten ? true : undefined,
    );
    await rows().update(OperationEntity, { id: made.id }, { forgotten: false });
    await manager.get(OperationSweep).round();
    expect(agent.forgotten).toEqual([made.id, made.id]);
    await manager.get(OperationSweep).round();
    expect(agent.forgotten).toHaveLength(2);
  });

  it('two managers on one database: each operation is done once', async () => {
    const second = await TestManager.start(await databases.open(), folder);
    try {
      const operations = [await take(), await take(), await take()];
      for (const operation of operations) expect(await second.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
      expect(agent.accepted).toHaveLength(3);
    } finally {
      await second.stop();
    }
  });

  it('a host that goes away meanwhile: the operation says whom it waits for, and goes on when it is back', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    await agent.stop();
    await waitFor('waiting', async () => (await manager.get(OperationsService).get(manager.admin, operation.id)).waitingFor);
    const [hostId] = (await rows().findOneByOrFail(OperationEntity, { id: operation.id })).hostId?.split(' ') ?? [];
    await manager.hostState(hostId ?? '', 'Down');
    await expect(take()).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE', message: expect.stringMatching(/Start its agent/) });
    expect(await manager.get(VmsService).get(manager.admin, vm)).toMatchObject({ powerState: 'Unknown' });
    await agent.start();
    await waitFor('watching again', async () =>
      (await manager.get(OperationsService).get(manager.admin, operation.id)).waitingFor === undefined ? true : undefined,
    );
    agent.resume(operation.id);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
  });

  it('an agent that lost its state: the outcome is said to be unknown, and the disks are looked at', async () => {
    agent.scripts.push({ hold: true });
    const operation = await take();
    await running(operation.id);
    await waitFor('acceptance', async () =>
      (await rows().findOneByOrFail(OperationEntity, { id: operation.id })).accepted ? true : undefined,
    );
    await agent.stop();
    agent.loseState();
    await agent.start();
    expect(await manager.finished(operation.id)).toMatchObject({
      state: 'Failed',
      error: { code: 'INTERRUPTED', message: expect.stringMatching(/not known/) },
    });
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(agent.accepted.at(-1)).toMatchObject({ kind: 'cleanupBackupError' });
    expect(await backup()).toMatchObject({ state: 'BackedUp' });
  });

  it('refusals name the thing, before anything happened', async () => {
    const service = manager.get(BackupsService);
    await expect(service.create(manager.admin, randomUUID(), WISH)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const user = { role: 'user', accountId: randomUUID(), apiKeyId: randomUUID() } as never;
    await expect(service.create(user, vm, WISH)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const domain = agent.domains.get(vm);
    if (domain === undefined) throw new Error('no domain');
    agent.setDomain({ ...domain, guestAgent: false });
    await waitFor('no agent', async () => ((await vmRow()).guestAgent ? undefined : true));
    await expect(take({ quiesce: 'require' })).rejects.toMatchObject({ code: 'GUEST_AGENT_MISSING' });
    agent.setDomain({
      ...domain,
      disks: [
        {
          ...domain.disks[0]!,
          layers: [],
          refusal: { code: 'BACKING_FILE_MISSING', message: '/t is missing', fields: { path: '/t' } },
        },
      ],
    });
    await waitFor('refusal', async () =>
      (await manager.get(VmsService).volumes(manager.admin, vm))[0]?.refusal === undefined ? undefined : true,
    );
    await expect(take()).rejects.toMatchObject({ code: 'BACKING_FILE_MISSING', fields: { target: 'vda', path: '/t' } });
    agent.removeDomain(vm);
    await waitFor('gone', async () => ((await vmRow()).powerState === 'Gone' ? true : undefined));
    await expect(take()).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(agent.accepted).toEqual([]);
    expect((await service.list(manager.admin, { limit: 10 })).items).toEqual([]);
  });

  it('a refusal that was true a moment ago is looked at again before it is said', async () => {
    const domain = agent.domains.get(vm);
    if (domain === undefined) throw new Error('no domain');
    agent.setDomain({ ...domain, guestAgent: false });
    await waitFor('no agent', async () => ((await vmRow()).guestAgent ? undefined : true));
    agent.domains.set(vm, domain);
    expect(await backup({ quiesce: 'require' })).toMatchObject({ state: 'BackedUp' });
  });

  it('lists are paged, newest first', async () => {
    const made = [await backup(), await backup(), await backup()].map((one) => one.id).reverse();
    const service = manager.get(BackupsService);
    const first = await service.list(manager.admin, { limit: 2 });
    const rest = await service.list(manager.admin, { limit: 2, after: first.next });
    expect([...first.items, ...rest.items].map((one) => one.id)).toEqual(made);
    expect(rest.next).toBeUndefined();
    await expect(service.list(manager.admin, { limit: 2, after: 'nonsense' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });
});
