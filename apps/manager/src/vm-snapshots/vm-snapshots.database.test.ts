/** VM snapshots from call to recorded tree: beside backups, with branches, with those of virsh, and after failures. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CreateVmSnapshot, VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { DomainState } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Caller } from '../access/caller.js';
import { BackupsService } from '../backups/backups.service.js';
import { VmSnapshotEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import { RestoresService } from '../restores/restores.service.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import type { ReceivedCommand } from '../testing/received-command.js';
import { protectedVm, startBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { VmSnapshotsService } from './vm-snapshots.service.js';

const ROOT = '/pool/root.qcow2';
const DATA = '/pool/data.qcow2';
const failed = (outcome: VmOutcome) => ({
  end: {
    state: OperationState.OPERATION_STATE_FAILED,
    outcome,
    error: { code: 'TOOL_FAILED' as const, message: 'x', fields: {} },
  },
});

describe('VM snapshots', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost();
    vm = (await protectedVm(manager, agent, made.zone, { disks: { vda: [ROOT], vdb: [DATA] } })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const service = () => manager.get(VmSnapshotsService);
  const domain = () => agent.domains.get(vm) ?? fail('no domain');
  const layers = (target: string) =>
    (domain().disks.find((disk) => disk.target === target)?.layers ?? []).map(({ path }) => path);
  const wish = (change: Partial<CreateVmSnapshot> = {}): CreateVmSnapshot => ({ description: '', quiesce: 'no', ...change });
  const list = () => service().list(manager.admin, vm, {});
  const tree = async () => (await list()).map(({ name, state, current }) => `${name} ${state}${current ? '*' : ''}`);
  const sent = <K extends ReceivedCommand['kind']>(kind: K): Extract<ReceivedCommand, { kind: K }>['request'] => {
    const command = agent.accepted.at(-1);
    if (command?.kind !== kind) fail(`the last command is ${command?.kind}`);
    return command.request as never;
  };
  function fail(why: string): never {
    throw new Error(why);
  }
  async function done(operation: Promise<Operation>): Promise<Operation> {
    const finished = await manager.finished((await operation).id);
    expect([finished.state, finished.error]).toEqual(['Succeeded', undefined]);
    return finished;
  }
  async function take(name: string, change: Partial<CreateVmSnapshot> = {}): Promise<VmSnapshot> {
    const { vmSnapshotId } = await done(service().create(manager.admin, vm, wish({ name, ...change })));
    return service().get(manager.admin, vmSnapshotId ?? '');
  }
  const revert = (snapshot: VmSnapshot) => done(service().revert(manager.admin, snapshot.id));
  const remove = (snapshot: VmSnapshot) => done(service().delete(manager.admin, snapshot.id));
  async function backup() {
    const operation = manager.get(BackupsService).create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    return manager.get(BackupsService).get(manager.admin, (await done(operation)).backupId ?? '');
  }
  async function power(state: 'Running' | 'Stopped'): Promise<void> {
    const wanted = state === 'Running' ? DomainState.DOMAIN_STATE_RUNNING : DomainState.DOMAIN_STATE_SHUT_OFF;
    agent.setDomain({ ...domain(), state: wanted });
    await waitFor(state, async () => ((await vmRow()).powerState === state ? true : undefined));
  }
  const overlays = async () => (await rows().findBy(VolumeOverlayEntity, { vmId: vm })).map(({ path }) => path).sort();

  it('rows S1-S8: two, reverts to both, a third on a branch; removed ones stay while needed and vanish with the last', async () => {
    const s1 = await take('1');
    expect(s1).toMatchObject({
      state: 'Ready',
      origin: 'holdfast',
      current: true,
      volumes: [{ target: 'vda', path: ROOT }, { path: DATA }],
    });
    const s2 = await take('2');
    expect(s2).toMatchObject({ parentId: s1.id, current: true });
    expect(layers('vda')[0]).toMatch(/^\/pool\/root\.[0-9a-f-]{36}\.hs\.qcow2$/);
    await expect(service().revert(manager.admin, s2.id)).rejects.toMatchObject({ code: 'VM_RUNNING' });

    await power('Stopped');
    await revert(s2);
    expect(layers('vda')[0]).toMatch(/^\/pool\/root\.[0-9a-f]{8}\.hr\.qcow2$/);
    expect(layers('vda').slice(1)).toEqual([s2.volumes[0]?.path, ROOT]);
    await revert(s1);
    expect(layers('vda').slice(1)).toEqual([ROOT]);
    expect(agent.chains.files.size).toBe(6);
    const s3 = await take('3');
    expect(await tree()).toEqual(['1 Ready', '2 Ready', '3 Ready*']);
    expect(s3.parentId).toBe(s1.id);

    await remove(s1);
    expect(await tree()).toEqual(['2 Ready', '3 Ready*']);
    expect(await service().list(manager.admin, vm, { state: 'Removed' })).toMatchObject([{ id: s1.id }]);
    expect((await service().get(manager.admin, s3.id)).parentId).toBeUndefined();
    expect([...agent.chains.files.keys()]).toContain(ROOT);
    await expect(service().revert(manager.admin, s1.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await expect(service().delete(manager.admin, s1.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });

    await remove(s3);
    expect(layers('vda')).toHaveLength(2);
    expect(await tree()).toEqual(['2 Ready']);
    await remove(s2);
    expect([layers('vda'), layers('vdb')]).toEqual([[ROOT], [DATA]]);
    expect([...agent.chains.files.keys()].sort()).toEqual([DATA, ROOT]);
    expect([await rows().countBy(VmSnapshotEntity, { vmId: vm }), await overlays()]).toEqual([0, []]);
    expect(await vmRow()).toMatchObject({ currentSnapshotId: null, protectionState: 'Ok' });
  });

  it('beside backups: pins go along and move, a branch keeps its rows, a revert makes the next backup full', async () => {
    const b1 = await backup();
    const s1 = await take('s1');
    const s2 = await take('s2');
    const b2 = await backup();
    expect(b2).toMatchObject({ type: 'INCREMENTAL', parentId: b1.id });
    expect(sent('takeBackup').volumes[0]?.pins).toEqual([
      { snapshotId: s1.id, path: s1.volumes[0]?.path },
      { snapshotId: s2.id, path: s2.volumes[0]?.path },
    ]);
    // The delta of b1 went into the volume, and the first snapshot with it.
    expect((await service().get(manager.admin, s1.id)).volumes[0]?.path).toBe(ROOT);

    await power('Stopped');
    await revert(s1);
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
    expect(await vmRow()).toMatchObject({ headBackupId: null, currentSnapshotId: s1.id, protectionState: 'Ok' });
    const beside = sent('revertVmSnapshot').volumes[0]?.settle;
    expect(beside?.deltaPaths).toContain(s2.volumes[0]?.path);
    const b3 = await backup();
    expect(b3).toMatchObject({ type: 'FULL', fullReason: expect.stringContaining('reverted to snapshot "s1"') });

    // The branch of s2 is neither forgotten nor left over.
    const dryRun = await done(manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: true }));
    expect(sent('cleanupBackupError')).toMatchObject({ unusedDeltaPaths: [] });
    expect(sent('cleanupBackupError').volumes[0]?.pins).toHaveLength(2);
    expect(dryRun.plan?.join()).toContain(s2.volumes[0]?.path ?? 'nothing');
    await done(manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false }));
    expect(agent.chains.files.has(s2.volumes[0]?.path ?? '')).toBe(true);
    await revert(s2);
    expect(layers('vda').slice(1)).toEqual([s2.volumes[0]?.path, ROOT]);
    await remove(s1);
    await remove(s2);
    expect([...agent.chains.files.keys()].sort()).toEqual([DATA, ROOT]);
    expect(await overlays()).toEqual([]);
  });

  it('of one volume: reverting it ends what is tracked of it alone, the next backup copies it in full', async () => {
    const b1 = await backup();
    const snapshot = await take('data', { volumes: ['vdb'] });
    expect(snapshot.volumes.map(({ target }) => target)).toEqual(['vdb']);
    await power('Stopped');
    await revert(snapshot);
    expect(layers('vda')).toHaveLength(2);
    expect(await vmRow()).toMatchObject({ headBackupId: b1.id });
    const b2 = await backup();
    expect(b2).toMatchObject({ type: 'INCREMENTAL', parentId: b1.id });
    expect(b2.volumes.map(({ target, copiedInFull }) => [target, copiedInFull])).toEqual([
      ['vda', false],
      ['vdb', true],
    ]);
    await expect(service().create(manager.admin, vm, wish({ volumes: ['vdz'] }))).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('vda, vdb'),
    });
  });

  it('of virsh are listed, reverted to and deleted; one with memory is left to virsh', async () => {
    const disks = [{ target: 'vda', pinnedPath: ROOT, overlayPath: '/pool/root.virsh' }];
    const common = { parentName: '', createdAtUnixMs: 1000n, current: true, foreignKind: false, disks };
    const memory = { ...common, name: 'mem', current: false, foreignKind: true, disks: [] };
    agent.chains.add({ ...(domain().disks[0]?.layers[0] ?? fail('no layer')), path: '/pool/root.virsh' }, ROOT);
    const [vda, vdb] = domain().disks;
    const changed = [agent.chains.withActive(vda ?? fail('no disk'), '/pool/root.virsh'), vdb ?? fail('no disk')];
    agent.setDomain({ ...domain(), disks: changed, snapshots: [{ ...common, name: 'old' }, memory] });
    await waitFor('both', async () => ((await list()).length === 2 ? true : undefined));
    const all = await list();
    expect(all.map(({ name, origin, leftToVirsh }) => [name, origin, leftToVirsh])).toEqual([
      ['old', 'libvirt', false],
      ['mem', 'libvirt', true],
    ]);
    const [old, mem] = [all[0] ?? fail('none'), all[1] ?? fail('none')];
    expect((await list())[0]?.id).toBe(old.id);
    expect(await service().get(manager.admin, old.id)).toMatchObject({ volumes: [{ target: 'vda', path: ROOT }] });
    for (const act of ['revert', 'delete'] as const)
      await expect(service()[act](manager.admin, mem.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await expect(service().create(manager.admin, vm, wish({ name: 'old' }))).rejects.toMatchObject({ code: 'NAME_TAKEN' });

    await power('Stopped');
    await revert(old);
    expect(sent('revertVmSnapshot').volumes.map(({ target, pinnedPath }) => [target, pinnedPath])).toEqual([['vda', ROOT]]);
    await done(manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false }));
    expect(agent.chains.files.has('/pool/root.virsh')).toBe(true);
    await remove(old);
    expect(sent('deleteVmSnapshots').libvirtSnapshotNames).toEqual(['old']);
    expect(layers('vda')).toEqual([ROOT]);
    expect([[...agent.chains.files.keys()].sort(), await overlays()]).toEqual([[DATA, ROOT], []]);
  });

  it('the overlay of a deleted snapshot of virsh becomes ours to merge', async () => {
    const disks = [{ target: 'vda', pinnedPath: ROOT, overlayPath: '/pool/root.virsh' }];
    const one = { name: 'old', parentName: '', createdAtUnixMs: 1n, current: true, foreignKind: false, disks };
    agent.chains.add({ ...(domain().disks[0]?.layers[0] ?? fail('no layer')), path: '/pool/root.virsh' }, ROOT);
    const [vda, vdb] = domain().disks;
    const changed = [agent.chains.withActive(vda ?? fail('no disk'), '/pool/root.virsh'), vdb ?? fail('no disk')];
    agent.setDomain({ ...domain(), disks: changed, snapshots: [one] });
    await waitFor('it', async () => ((await list()).length === 1 ? true : undefined));
    await remove((await list())[0] ?? fail('none'));
    expect([layers('vda'), await overlays()]).toEqual([[ROOT], []]);
  });

  it('a restore is refused with the list, unless they are let go: then every file of the old tree is listed', async () => {
    const b1 = await backup();
    const s1 = await take('s1');
    await power('Stopped');
    await take('s2');
    await revert(s1);
    const restore = { acceptDamaged: false, dropSnapshots: false };
    await expect(manager.get(RestoresService).restore(manager.admin, b1.id, restore)).rejects.toMatchObject({
      code: 'VM_HAS_SNAPSHOTS',
      fields: { snapshots: 's1,s2' },
    });
    const before = [...agent.chains.files.keys()].sort();
    const disks = [{ target: 'vda', pinnedPath: ROOT, overlayPath: '/pool/x' }];
    const old = { name: 'old', parentName: '', createdAtUnixMs: 1n, current: true, foreignKind: false, disks };
    agent.setDomain({ ...domain(), snapshots: [old] });
    await done(manager.get(RestoresService).restore(manager.admin, b1.id, { ...restore, dropSnapshots: true }));
    const left = await manager.get(RestoresService).supersededFiles(manager.admin, vm);
    expect(left.map(({ path }) => path).sort()).toEqual(before);
    // libvirt's own record goes by an operation of its own.
    await waitFor('no snapshots', async () => ((await list()).length === 0 ? true : undefined));
    expect(sent('deleteVmSnapshots').libvirtSnapshotNames).toEqual(['old']);
    expect(await overlays()).toEqual([]);
    await take('s1');
  });

  it('one that fails leaves nothing, and is only forgotten when it is deleted', async () => {
    agent.scripts.push(failed(VmOutcome.VM_OUTCOME_AS_BEFORE));
    const operation = await service().create(manager.admin, vm, wish({ name: 'bad' }));
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Failed' });
    expect(await list()).toMatchObject([{ name: 'bad', state: 'Failed', error: { code: 'TOOL_FAILED' }, volumes: [] }]);
    expect([await overlays(), layers('vda')]).toEqual([[], [ROOT]]);
    await take('bad');
    const bad = (await list()).find(({ state }) => state === 'Failed') ?? fail('none');
    const commands = agent.accepted.length;
    await remove(bad);
    expect(agent.accepted).toHaveLength(commands);
    expect(await tree()).toEqual(['bad Ready*']);
  });

  it('one whose overlays are left is cleaned up by itself', async () => {
    agent.scripts.push({ ...failed(VmOutcome.VM_OUTCOME_MERGE_PENDING), act: true });
    const operation = await service().create(manager.admin, vm, wish());
    await manager.finished(operation.id);
    await waitFor('the clean-up', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect([await overlays(), layers('vda'), layers('vdb')]).toEqual([[], [ROOT], [DATA]]);
  });

  it('a revert that fails leaves the VM, its chain of backups and the record as they were', async () => {
    const b1 = await backup();
    const s1 = await take('s1');
    await power('Stopped');
    const before = await overlays();
    agent.scripts.push(failed(VmOutcome.VM_OUTCOME_AS_BEFORE));
    const operation = await service().revert(manager.admin, s1.id);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Failed' });
    expect(await overlays()).toEqual(before);
    expect(await vmRow()).toMatchObject({ headBackupId: b1.id, protectionState: 'Ok' });
  });

  it('a deletion that was begun and failed is no snapshot any more; its layers go with the clean-up', async () => {
    const s1 = await take('s1');
    agent.scripts.push(failed(VmOutcome.VM_OUTCOME_MERGE_PENDING));
    const operation = await service().delete(manager.admin, s1.id);
    await manager.finished(operation.id);
    expect(await list()).toEqual([]);
    await waitFor('the clean-up', async () => ((await rows().countBy(VmSnapshotEntity, { vmId: vm })) === 0 ? true : undefined));
    expect([await overlays(), layers('vda')]).toEqual([[], [ROOT]]);
  });

  it('a layer that somebody else took out of the chain is never named: it may hold what is about to be missed', async () => {
    const s1 = await take('s1');
    const overlay = layers('vda')[0] ?? '';
    const [vda, vdb] = domain().disks;
    agent.setDomain({ ...domain(), disks: [agent.chains.withActive(vda ?? fail('no disk'), ROOT), vdb ?? fail('no disk')] });
    await remove(s1);
    expect(sent('deleteVmSnapshots').volumes.map(({ target }) => target)).toEqual(['vdb']);
    expect(agent.chains.files.has(overlay)).toBe(true);
  });

  it('of another account answers like one that does not exist; names are taken once per VM', async () => {
    const s1 = await take('s1');
    const stranger = { role: 'user', accountId: randomUUID(), apiKeyId: randomUUID() } as unknown as Caller;
    for (const call of [
      () => service().get(stranger, s1.id),
      () => service().revert(stranger, s1.id),
      () => service().delete(stranger, s1.id),
      () => service().list(stranger, vm, {}),
      () => service().create(stranger, vm, wish()),
      () => service().get(manager.admin, randomUUID()),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(service().create(manager.admin, vm, wish({ name: 's1' }))).rejects.toMatchObject({ code: 'NAME_TAKEN' });
    await rows().update(VmEntity, { id: vm }, { protectionState: 'BackupError', cleanupNotBefore: null });
    await expect(service().create(manager.admin, vm, wish())).rejects.toMatchObject({ code: 'CHAIN_UNEXPLAINED' });
    // What was lost with a snapshot's layer is explained again without the snapshot.
    await remove(s1);
    expect(await vmRow()).toMatchObject({ protectionState: 'Ok' });
  });

  it('a revert does not begin when the VM was given to another account meanwhile; nothing of it is left', async () => {
    const [shop, bank] = [await manager.newUser('shop'), await manager.newUser('bank')];
    const give = (to: Caller) => manager.get(VmsService).update(manager.admin, vm, { accountId: to.accountId as never });
    await give(shop);
    const snapshot = await take('before');
    await power('Stopped');
    agent.scripts.push({ hold: true });
    const before = await startBackup(manager, vm, { isolated: true });
    await waitFor('the agent to work', () => agent.operations.get(before.id));
    const asked = await service().revert(shop, snapshot.id);
    await give(bank);
    agent.resume(before.id);
    expect(await manager.finished(asked.id)).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });
    expect(agent.accepted.map(({ kind }) => kind)).not.toContain('revertVmSnapshot');
    expect(await rows().countBy(VolumeOverlayEntity, { operationId: asked.id })).toBe(0);
  });
});
