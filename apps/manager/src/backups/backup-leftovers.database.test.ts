/** Backups after which something is left to do on the host: merges, files, a chain that nobody understands. */
import { describe, expect, it } from '@jest/globals';
import type { Backup, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Disk } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { TakeBackupRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity, VolumeDeltaEntity } from '../persistence/entities/vm.entities.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup, startBackup } from '../testing/protected-vm.js';
import type { ReceivedCommand } from '../testing/received-command.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { ProtectionReconciler } from '../vms/protection-reconciler.js';
import { VmsService } from '../vms/vms.service.js';

const FAILED = OperationState.OPERATION_STATE_FAILED;

describe('a backup that leaves something behind', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost();
    const disks = { vda: ['/pool/root.qcow2'], vdb: ['/pool/data.qcow2'] };
    vm = (await protectedVm(manager, agent, made.zone, { disks, chainSize: 3 })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const take = (wish: Partial<CreateBackup> = {}): Promise<Operation> => startBackup(manager, vm, wish);
  const backup = (wish: Partial<CreateBackup> = {}): Promise<Backup> => backUp(manager, vm, wish);
  const sent = (index: number): TakeBackupRequest => sentBackup(agent, index);

  /** The command of the clean-up, once the VM is at rest. */
  async function cleanedUp(): Promise<ReceivedCommand> {
    const command = await waitFor('the clean-up', () => agent.accepted.find(({ kind }) => kind === 'cleanupBackupError'));
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    return command;
  }

  it('published with merges pending: backed up, and a clean-up merges by itself', async () => {
    const b1 = await backup();
    const d1 = sent(0).volumes.map((volume) => volume.newDeltaPath);
    agent.scripts.push({
      end: { state: OperationState.OPERATION_STATE_SUCCEEDED, outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING },
      act: true,
    });
    const b2 = await backup();
    expect(b2).toMatchObject({ state: 'BackedUp', parentId: b1.id });
    // The deltas of b1 stay in the chain, as when the merge did not happen.
    const domain = agent.domains.get(vm);
    if (domain === undefined) throw new Error('no domain');
    agent.setDomain({
      ...domain,
      disks: domain.disks.map((disk, index) => ({
        ...disk,
        layers: [...disk.layers.slice(0, 1), { ...disk.layers[0]!, path: d1[index] ?? '' }, ...disk.layers.slice(1)],
      })),
    });
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' && agent.accepted.length > 2 ? true : undefined));
    const cleanup = agent.accepted.find((command) => command.kind === 'cleanupBackupError');
    expect(cleanup?.request).toMatchObject({ unpublishedBackupIds: [], dryRun: false });
    expect(await vmRow()).toMatchObject({ headBackupId: b2.id });
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm, backupId: b2.id })).toBe(2);
    expect(await backup()).toMatchObject({ type: 'INCREMENTAL', parentId: b2.id });
  });

  it.each([
    ['the delta of the backup before', {}, 0],
    ['its own delta', { isolated: true }, 1],
  ])('merged, but %s could not be deleted: it is left over, and a clean-up gets it', async (_what, wish, owner) => {
    const b1 = await backup();
    const first = sent(0).volumes.map(({ newDeltaPath }) => newDeltaPath);
    agent.chains.isHeld = (path) => first.includes(path) === (owner === 0);
    agent.scripts.push({
      end: { state: OperationState.OPERATION_STATE_SUCCEEDED, outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING },
      act: true,
    });
    const second = await backup(wish);
    expect(second.state).toBe('BackedUp');
    const left = sent(owner).volumes.map(({ newDeltaPath }) => newDeltaPath);
    expect((await cleanedUp()).request).toMatchObject({ unusedDeltaPaths: expect.arrayContaining(left) });
    const head = owner === 0 ? second : b1;
    expect(await vmRow()).toMatchObject({ headBackupId: head.id });
    expect((await rows().findBy(VolumeDeltaEntity, { vmId: vm })).map(({ backupId }) => backupId)).toEqual([head.id, head.id]);
    expect(await backup()).toMatchObject({ type: 'INCREMENTAL', parentId: head.id });
  });

  it('failed with leftovers: a clean-up gets the folder and the deltas', async () => {
    agent.scripts.push({
      end: {
        state: FAILED,
        outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING,
        error: { code: 'TOOL_FAILED', message: 'killed', fields: {} },
      },
    });
    const failed = await backup();
    expect(failed.state).toBe('Failed');
    expect((await cleanedUp()).request).toMatchObject({
      unpublishedBackupIds: [failed.id],
      unusedDeltaPaths: expect.arrayContaining([sent(0).volumes[0]?.newDeltaPath]),
    });
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
  });

  it('a disk whose pool is away keeps its leftover: it is tried again with back-off, and merged when the pool is back', async () => {
    agent.scripts.push({ hold: true });
    const { id } = await take();
    await waitFor('the agent to work', () => agent.operations.get(id));
    const show = (refusal: Disk['refusal']): void => {
      const domain = agent.domains.get(vm);
      const disks = (domain?.disks ?? []).map((disk) => (disk.target === 'vdb' ? { ...disk, refusal } : disk));
      if (domain !== undefined) agent.setDomain({ ...domain, disks });
    };
    const refusal = { code: 'PATH_OUTSIDE_POOLS', message: 'the pool is away', fields: {} };
    show(refusal);
    const error = { code: 'TOOL_FAILED' as const, message: 'died', fields: {} };
    agent.resume(id, { end: { state: FAILED, outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING, error } });
    await manager.finished(id);

    const asked = { vmId: vm, kind: 'CleanupBackupError' as const };
    await waitFor('the clean-up', async () =>
      (await rows().existsBy(OperationEntity, { ...asked, state: 'Succeeded' })) ? true : undefined,
    );
    const lookAgain = () => manager.get(ProtectionReconciler).round();
    for (let round = 0; round < 3; round += 1) await lookAgain();
    expect(await rows().countBy(OperationEntity, asked)).toBe(1);
    expect(await rows().findBy(VolumeDeltaEntity, { vmId: vm })).toMatchObject([
      { state: 'Leftover', path: expect.stringContaining('/data.') },
    ]);
    const waiting = await vmRow();
    expect(waiting).toMatchObject({ protectionState: 'MergePending', protectionReason: refusal, cleanupAttempts: 1 });
    expect(waiting.cleanupNotBefore?.getTime()).toBeGreaterThan(Date.now());

    // The second try comes later than the first, as long as the pool is away.
    const due = async () => {
      await rows().update(VmEntity, { id: vm }, { cleanupNotBefore: new Date() });
      await lookAgain();
    };
    await due();
    await waitFor('the second', async () =>
      (await rows().countBy(OperationEntity, { ...asked, state: 'Succeeded' })) === 2 ? true : undefined,
    );
    expect((await vmRow()).cleanupNotBefore?.getTime()).toBeGreaterThan(Date.now() + 40_000);
    show(undefined);
    await due();
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(await vmRow()).toMatchObject({ cleanupAttempts: 0, protectionReason: null });
    expect(await rows().countBy(OperationEntity, asked)).toBe(3);
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
  });

  it('a chain that cannot be explained: BackupError, new backups are refused with the way out, finishing the chain mends it', async () => {
    agent.scripts.push({
      end: {
        state: FAILED,
        outcome: VmOutcome.VM_OUTCOME_UNEXPLAINED,
        error: { code: 'CHAIN_UNEXPLAINED', message: 'what is this', fields: {} },
      },
    });
    await backup();
    expect(await manager.get(VmsService).get(manager.admin, vm)).toMatchObject({
      protectionState: 'BackupError',
      protectionReason: { message: 'what is this' },
      powerState: 'Running',
    });
    await expect(take()).rejects.toMatchObject({ code: 'CHAIN_UNEXPLAINED', message: expect.stringContaining('finish-chain') });
    const dry = await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: true });
    expect(await manager.finished(dry.id)).toMatchObject({ state: 'Succeeded' });
    expect((await vmRow()).protectionState).toBe('BackupError');
    const real = await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false });
    await manager.finished(real.id);
    expect((await vmRow()).protectionState).toBe('Ok');
    expect(await backup()).toMatchObject({ state: 'BackedUp' });
  });
});
