/** Plans that turn out to be outdated when a part of them is done: what was done is on record before the next plan is made. */
import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { CleanupBackupErrorRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { VmSnapshotVolumeEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import type { FakeAgent, Script } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmSnapshotsService } from '../vm-snapshots/vm-snapshots.service.js';
import { VmsService } from './vms.service.js';

const ROOT = '/pool/root.qcow2';
const DATA = '/pool/data.qcow2';

describe('a plan that is outdated in the middle of the work', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost();
    vm = (await protectedVm(manager, agent, made.zone, { disks: { vda: [ROOT], vdb: [DATA] } })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const domain = (): Domain => {
    const seen = agent.domains.get(vm);
    if (seen === undefined) throw new Error('no domain');
    return seen;
  };
  const pinnedPaths = async () => (await rows().find(VmSnapshotVolumeEntity)).map(({ pinnedPath }) => pinnedPath).sort();
  const outdated = (result?: NonNullable<Script['end']>['result']): Script => ({
    end: {
      state: OperationState.OPERATION_STATE_FAILED,
      outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING,
      error: new HoldfastError('PLAN_OUTDATED', 'The host was restarted since it was planned.').toData(),
      result,
    },
  });
  const cleanups = (): CleanupBackupErrorRequest[] =>
    agent.accepted.flatMap((command) => (command.kind === 'cleanupBackupError' ? command.request : []));

  it.each(['is still there', 'is detached by now'])(
    'a clean-up that has merged one disk (which %s): its snapshot is followed, and the new plan is of what is left',
    async (what) => {
      await backUp(manager, vm);
      const [vda = '', vdb = ''] = sentBackup(agent, 0).volumes.map(({ newDeltaPath }) => newDeltaPath);
      const taken = await manager.get(VmSnapshotsService).create(manager.admin, vm, { description: '', quiesce: 'no' });
      await manager.finished(taken.id);
      expect(await pinnedPaths()).toEqual([vda, vdb].sort());

      agent.scripts.push({ hold: true });
      const asked = await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false });
      const [request] = await waitFor('the clean-up', () => (cleanups().length > 0 ? cleanups() : undefined));
      const first = (request?.volumes ?? []).filter(({ target }) => target === 'vda');
      const { domain: merged, changes } = agent.chains.settle(domain(), first);
      expect(changes).toMatchObject({ removedPaths: [vda], movedPins: [{ target: 'vda', path: ROOT }] });
      const detached = what !== 'is still there';
      agent.setDomain({ ...merged, disks: merged.disks.filter(({ target }) => !detached || target !== 'vda') });
      if (detached)
        await waitFor('the look', async () =>
          (await rows().existsBy(VolumeEntity, { vmId: vm, target: 'vda', attached: false })) ? true : undefined,
        );
      const value = { plan: [], planned: [], activePaths: {}, changes, published: [] };
      agent.resume(asked.id, outdated({ $case: 'cleanupBackupError', value }));

      expect(await manager.finished(asked.id)).toMatchObject({ state: 'Succeeded' });
      expect(cleanups()).toHaveLength(2);
      const wishes = cleanups()[1]?.volumes ?? [];
      expect(wishes.find(({ target }) => target === 'vdb')).toMatchObject({ deltaPaths: expect.arrayContaining([vdb]) });
      if (!detached) {
        const vdaWish = wishes.find(({ target }) => target === 'vda');
        expect(vdaWish?.deltaPaths).not.toContain(vda);
        expect(vdaWish?.pins).toMatchObject([{ path: ROOT }]);
      }
      expect(await pinnedPaths()).toEqual([DATA, ROOT]);
      expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
      expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({ protectionState: 'Ok', headBackupId: null });
    },
  );

  it.each([
    { what: 'one disk is merged', merged: ['vda'], ended: true },
    { what: 'nothing is merged yet', merged: [], ended: false },
  ])('a chain that is finished and fails when $what: ended on record is $ended', async ({ merged, ended }) => {
    await backUp(manager, vm);
    agent.scripts.push({ hold: true });
    const asked = await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false });
    const [request] = await waitFor('the clean-up', () => (cleanups().length > 0 ? cleanups() : undefined));
    const wish = (request?.volumes ?? []).filter(({ target }) => merged.includes(target));
    const settled = agent.chains.settle(domain(), wish);
    agent.setDomain(settled.domain);
    const value = { plan: [], planned: [], activePaths: {}, changes: settled.changes, published: [] };
    const error = new HoldfastError('WRONG_STATE', 'The VM was saved with its memory.').toData();
    const outcome = merged.length > 0 ? VmOutcome.VM_OUTCOME_MERGE_PENDING : VmOutcome.VM_OUTCOME_AS_BEFORE;
    const state = OperationState.OPERATION_STATE_FAILED;
    agent.resume(asked.id, { end: { state, outcome, error, result: { $case: 'cleanupBackupError', value } } });
    expect(await manager.finished(asked.id)).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });

    await waitFor('rest', async () => ((await rows().existsBy(VmEntity, { id: vm, protectionState: 'Ok' })) ? true : undefined));
    expect((await rows().findOneByOrFail(VmEntity, { id: vm })).headBackupId === null).toBe(ended);
    expect(domain().disks.map(({ layers }) => layers.length)).toEqual(ended ? [1, 1] : [2, 2]);
    expect(await backUp(manager, vm)).toMatchObject({ type: ended ? 'FULL' : 'INCREMENTAL', state: 'BackedUp' });
  });

  it('a backup whose layers could not be taken back: it has failed, and they are merged', async () => {
    agent.scripts.push({ ...outdated(), act: true });
    expect(await backUp(manager, vm)).toMatchObject({ state: 'Failed', error: { code: 'PLAN_OUTDATED' } });
    await waitFor('rest', async () => ((await rows().existsBy(VmEntity, { id: vm, protectionState: 'Ok' })) ? true : undefined));
    expect(agent.accepted.map(({ kind }) => kind)).toEqual(['takeBackup', 'cleanupBackupError']);
    expect(domain().disks.map(({ layers }) => layers.map(({ path }) => path))).toEqual([[ROOT], [DATA]]);
  });
});
