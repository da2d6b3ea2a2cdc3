/** What the hosts that a VM is not on are told of its layers, and when: a whole manager and hosts in memory. */
import { describe, expect, it } from '@jest/globals';
import { DomainState, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { VmElsewhere } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup, startBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmSnapshotsService } from '../vm-snapshots/vm-snapshots.service.js';

const BASE = '/pool/root.qcow2';

describe('the start guards of other hosts', () => {
  let manager: TestManager;
  let own: FakeAgent;
  let other: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    own = await made.newHost('own');
    other = await made.newHost('other');
    vm = (await protectedVm(manager, own, made.zone)).id;
  });

  const rows = () => manager.database.dataSource.manager;
  /** What the other host was told last of the VM. */
  const last = (): VmElsewhere | undefined => other.told.filter(({ vmUuid }) => vmUuid === vm).at(-1);
  const told = (volume: object): Promise<VmElsewhere> =>
    waitFor('the telling', () => {
      const now = last();
      return JSON.stringify(now?.volumes) === JSON.stringify([volume]) ? now : undefined;
    });

  it('hear of the layers of a backup before its agent does, then of what is seen', async () => {
    own.scripts.push({ hold: true });
    const { id } = await startBackup(manager, vm);
    await waitFor('the agent to work', () => own.operations.get(id));
    const delta = sentBackup(own, 0).volumes[0]?.newDeltaPath;
    expect(last()).toMatchObject({ vmUuid: vm, volumes: [{ layers: [BASE], planned: [delta], certain: true }] });
    expect(last()?.fencingToken).toBe(sentBackup(own, 0).header?.fencingToken);
    own.resume(id);
    await manager.finished(id);
    await told({ layers: [delta, BASE], planned: [], certain: true });
    expect(own.told).toEqual([]);
  });

  it('hear of the overlays of snapshots and reverts in the same way', async () => {
    const snapshots = manager.get(VmSnapshotsService);
    const take = await snapshots.create(manager.admin, vm, { description: '', quiesce: 'no' } as never);
    await manager.finished(take.id);
    const taken = own.accepted[0];
    if (taken?.kind !== 'takeVmSnapshot') throw new Error(`it is ${taken?.kind}`);
    const overlay = taken.request.volumes[0]?.newOverlayPath;
    expect(other.told[0]).toMatchObject({ volumes: [{ layers: [BASE], planned: [overlay] }] });
    await told({ layers: [overlay, BASE], planned: [], certain: true });

    own.setDomain({ ...(own.domains.get(vm) as Domain), state: DomainState.DOMAIN_STATE_SHUT_OFF });
    await waitFor('the stop', async () => (await rows().findOneBy(VmEntity, { id: vm, powerState: 'Stopped' })) ?? undefined);
    other.told.length = 0;
    const revert = await snapshots.revert(manager.admin, take.vmSnapshotId as never);
    await manager.finished(revert.id);
    const reverted = own.accepted[1];
    if (reverted?.kind !== 'revertVmSnapshot') throw new Error(`it is ${reverted?.kind}`);
    expect(other.told[0]).toMatchObject({ volumes: [{ planned: [reverted.request.volumes[0]?.newOverlayPath] }] });
  });

  it('are not waited for when they hang, and not asked for when they are away', async () => {
    other.guardHangs = true;
    expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp' });
    await other.stop();
    expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp' });
  });

  it('are told when they come back, also of what is still to be and of a host that is down', async () => {
    const hosts = await rows().find(HostEntity, { select: { id: true, name: true } });
    const idOf = (name: string): string => hosts.find((host) => host.name === name)?.id ?? '';
    await other.stop();
    await manager.hostState(idOf('other'), 'Down');
    own.scripts.push({ hold: true });
    const { id } = await startBackup(manager, vm);
    await waitFor('the agent to work', () => own.operations.get(id));
    const delta = sentBackup(own, 0).volumes[0]?.newDeltaPath ?? '';
    expect(other.told).toEqual([]);
    await other.start();
    await told({ layers: [BASE], planned: [delta], certain: true });

    own.resume(id);
    await manager.finished(id);
    await told({ layers: [delta, BASE], planned: [], certain: true });
    await Promise.all([own.stop(), other.stop()]);
    await Promise.all([manager.hostState(idOf('own'), 'Down'), manager.hostState(idOf('other'), 'Down')]);
    await other.start();
    await told({ layers: [delta, BASE], planned: [], certain: false });
  });

  it('are not told that a stale layer is right because the stopped VM was pointed at it, but when it runs from there', async () => {
    await backUp(manager, vm);
    const layers = (await waitFor('the delta', () => own.domains.get(vm)?.disks[0]?.layers)).map(({ path }) => path);
    await told({ layers, planned: [], certain: true });
    const stale = domainOf(vm, 'web', { vda: [BASE] }, () => own.newInode());
    own.setDomain({ ...stale, state: DomainState.DOMAIN_STATE_SHUT_OFF });
    await told({ layers: [BASE], planned: [], certain: false });
    // What runs is right, whatever is on record.
    own.setDomain(stale);
    await told({ layers: [BASE], planned: [], certain: true });
  });
});
