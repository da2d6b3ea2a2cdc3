/** A VM that is undefined, and another one that is defined with its UUID: nothing of the first is lost by working on the second. */
import { describe, expect, it } from '@jest/globals';
import type { Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { RestoresService } from '../restores/restores.service.js';
import { layerOf, type FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';

const RESTORED = '/pool/root.0a1b2c3d.restored.qcow2';

describe('a VM that is defined anew with its UUID', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost('kvm1');
    vm = (await protectedVm(manager, agent, made.zone, { disks: { vda: [RESTORED] } })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const left = () => manager.get(RestoresService).supersededFiles(manager.admin, vm);
  const release = (ids?: string[]) => manager.get(RestoresService).releaseSupersededFiles(manager.admin, vm, ids);
  const domain = (): Domain => {
    const found = agent.domains.get(vm);
    if (found === undefined) throw new Error('no domain');
    return found;
  };
  const power = (powerState: VmEntity['powerState']) =>
    waitFor(powerState, async () => (await rows().findOneBy(VmEntity, { id: vm, powerState })) ?? undefined);
  const onDisk = (path: string) =>
    waitFor(path, async () => {
      const [volume] = await rows().findBy(VolumeEntity, { vmId: vm, attached: true });
      return volume?.layers[0]?.path === path ? volume : undefined;
    });

  it.each(['in between seen as gone', 'while nobody looked'])(
    'with another disk, %s: a full backup; old files go by name only',
    async (how) => {
      expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp', type: 'FULL' });
      const [delta] = await rows().findBy(VolumeDeltaEntity, { vmId: vm });
      await onDisk(delta?.path ?? '');
      const old = domain();
      if (how === 'in between seen as gone') {
        agent.removeDomain(vm);
        await power('Gone');
      }
      agent.setDomain({ ...old, disks: old.disks.map((disk) => ({ ...disk, layers: [layerOf('/pool/new.qcow2', 99n)] })) });
      await power('Running');
      await onDisk('/pool/new.qcow2');

      expect((await left()).map(({ path, byNameOnly }) => [path, byNameOnly]).sort()).toEqual([
        [RESTORED, true],
        [delta?.path, true],
      ]);
      await expect(release()).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining('only by name') });
      const second = await backUp(manager, vm);
      expect(second).toMatchObject({
        state: 'BackedUp',
        type: 'FULL',
        fullReason: expect.stringContaining('vda: no delta tracks'),
      });
      expect(sentBackup(agent, 1).volumes).toMatchObject([{ mergeDeltaPaths: [], parentDeltaPath: '' }]);
      expect(agent.accepted.map(({ kind }) => kind)).toEqual(['takeBackup', 'takeBackup']);

      const named = (await left()).find(({ path }) => path === delta?.path);
      expect((await manager.finished((await release([named?.id ?? ''])).id)).state).toBe('Succeeded');
      expect(agent.accepted.at(-1)).toMatchObject({ kind: 'releaseFiles', request: { paths: [delta?.path] } });
      expect((await left()).map(({ path }) => path)).toEqual([RESTORED]);
    },
  );

  it('with its own disk goes on: the next backup is incremental, and nothing is left behind', async () => {
    await backUp(manager, vm);
    const old = domain();
    agent.removeDomain(vm);
    await power('Gone');
    agent.setDomain(old);
    await power('Running');
    expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp', type: 'INCREMENTAL' });
    expect(await left()).toEqual([]);
  });
});
