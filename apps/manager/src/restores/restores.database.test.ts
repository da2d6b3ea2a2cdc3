/** Restores from call to recorded result, and the files that they leave behind. */
import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { DomainState } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { RestoreBackupRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Caller } from '../access/caller.js';
import { BackupsService } from '../backups/backups.service.js';
import { VmRefresher } from '../inventory/vm-refresher.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { domainOf, type FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, startBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { RestoresService } from './restores.service.js';

const WISH = { acceptDamaged: false, dropSnapshots: false };

describe('a restore', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let zone: string;
  let vm: string;
  let backupId: string;

  managerPerTest(async (made) => {
    ({ manager, zone } = made);
    agent = await made.newHost();
    const disks = { vda: ['/pool/root.qcow2', '/pool/template.qcow2'], vdb: ['/pool/data.qcow2'] };
    vm = (await protectedVm(manager, agent, zone, { disks })).id;
    const backup = await backUp(manager, vm);
    expect(backup.state).toBe('BackedUp');
    backupId = backup.id;
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const power = (state: string) => waitFor(state, async () => ((await vmRow()).powerState === state ? true : undefined));
  const domain = () => {
    const found = agent.domains.get(vm);
    if (found === undefined) throw new Error('no domain');
    return found;
  };
  async function shutOff(): Promise<void> {
    agent.setDomain({ ...domain(), state: DomainState.DOMAIN_STATE_SHUT_OFF });
    await power('Stopped');
  }
  async function restore(): Promise<Operation> {
    const operation = await manager.get(RestoresService).restore(manager.admin, backupId, WISH);
    return manager.finished(operation.id);
  }
  const lastRequest = (): RestoreBackupRequest => {
    const command = agent.accepted.at(-1);
    if (command?.kind !== 'restoreBackup') throw new Error('not a restore');
    return command.request;
  };

  it('of a running VM is refused', async () => {
    await expect(manager.get(RestoresService).restore(manager.admin, backupId, WISH)).rejects.toMatchObject({
      code: 'VM_RUNNING',
    });
  });

  it('puts new files in place, ends the chain and keeps the old files until they are released', async () => {
    await shutOff();
    expect(await restore()).toMatchObject({ state: 'Succeeded' });
    const request = lastRequest();
    expect(request.volumes[0]).toMatchObject({
      target: 'vda',
      templatePath: '/pool/template.qcow2',
      newPath: expect.stringMatching(/^\/pool\/root\.[0-9a-f]{8}\.restored\.qcow2$/),
    });
    expect(await vmRow()).toMatchObject({ headBackupId: null, protectionState: 'Ok' });
    const volumes = await manager.get(VmsService).volumes(manager.admin, vm);
    expect(volumes.map((volume) => [volume.target, volume.layers.map((layer) => layer.path)])).toEqual(
      request.volumes.map((volume) => [volume.target, [volume.newPath]]),
    );
    expect(volumes.map((volume) => volume.id)).toEqual(request.volumes.map((volume) => volume.key));

    const left = await manager.get(RestoresService).supersededFiles(manager.admin, vm);
    expect(left.map((file) => file.path)).toContain('/pool/root.qcow2');
    expect(left.map((file) => file.path)).not.toContain('/pool/template.qcow2');
    const release = await manager.get(RestoresService).releaseSupersededFiles(manager.admin, vm);
    expect(await manager.finished(release.id)).toMatchObject({ state: 'Succeeded' });
    expect(await manager.get(RestoresService).supersededFiles(manager.admin, vm)).toEqual([]);
    await expect(manager.get(RestoresService).releaseSupersededFiles(manager.admin, vm)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });

    const next = await manager.get(BackupsService).create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    await manager.finished(next.id);
    expect(await manager.get(BackupsService).get(manager.admin, next.backupId ?? '')).toMatchObject({
      type: 'FULL',
      fullReason: expect.stringContaining(`restored from backup`),
    });
  });

  it('that fails leaves everything as it was', async () => {
    await shutOff();
    agent.scripts.push({
      end: {
        state: OperationState.OPERATION_STATE_FAILED,
        outcome: VmOutcome.VM_OUTCOME_AS_BEFORE,
        error: { code: 'BACKUP_DAMAGED', message: 'digest', fields: {} },
      },
    });
    expect(await restore()).toMatchObject({ state: 'Failed', error: { code: 'BACKUP_DAMAGED' } });
    expect(await vmRow()).toMatchObject({ headBackupId: backupId, protectionState: 'Ok' });
    expect(await rows().countBy(VolumeEntity, { vmId: vm })).toBe(2);
    expect(await manager.get(RestoresService).supersededFiles(manager.admin, vm)).toEqual([]);
  });

  it('that fails and could not remove its new files has them removed by the clean-up that follows', async () => {
    await shutOff();
    agent.scripts.push({
      end: {
        state: OperationState.OPERATION_STATE_FAILED,
        outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING,
        error: { code: 'STORAGE_READ_ONLY', message: 'read-only', fields: {} },
      },
    });
    expect(await restore()).toMatchObject({ state: 'Failed', error: { code: 'STORAGE_READ_ONLY' } });
    const restored = agent.accepted.find(({ kind }) => kind === 'restoreBackup');
    if (restored?.kind !== 'restoreBackup') throw new Error('no restore');
    const made = restored.request.volumes.map(({ newPath }) => newPath);
    const asked = { vmId: vm, kind: 'CleanupBackupError' as const, state: 'Succeeded' as const };
    await waitFor('the clean-up', async () => ((await rows().existsBy(OperationEntity, asked)) ? true : undefined));
    const cleanup = agent.accepted.at(-1);
    if (cleanup?.kind !== 'cleanupBackupError') throw new Error('no clean-up');
    expect([...cleanup.request.unusedDeltaPaths].sort()).toEqual(made.flatMap((path) => [path, `${path}.partial`]).sort());
    expect((await rows().findBy(VolumeEntity, { vmId: vm })).map(({ intendedPath }) => intendedPath)).toEqual([null, null]);
    expect(await vmRow()).toMatchObject({ headBackupId: backupId, protectionState: 'Ok' });
  });

  it('brings a detached disk back as the volume that it was, and merges one that the backup does not know', async () => {
    await shutOff();
    const known = await manager.get(VmsService).volumes(manager.admin, vm);
    const [root] = domain().disks;
    const added = domainOf(vm, 'web', { vdb: ['/pool/new.qcow2'] }, () => agent.newInode()).disks[0];
    if (root === undefined || added === undefined) throw new Error('no disks');
    agent.setDomain({ ...domain(), disks: [root, { ...added, virtualSizeBytes: 77n }] });
    await waitFor('the new disk', async () => ((await rows().countBy(VolumeEntity, { vmId: vm })) === 3 ? true : undefined));

    expect(await restore()).toMatchObject({ state: 'Succeeded' });
    expect(lastRequest().volumes.map((volume) => [volume.target, volume.currentPath === ''])).toEqual([
      ['vda', false],
      ['vdc', true],
    ]);
    await waitFor('three disks', async () =>
      (await rows().countBy(VolumeEntity, { vmId: vm, attached: true })) === 3 ? true : undefined,
    );
    const now = await manager.get(VmsService).volumes(manager.admin, vm);
    expect(now).toHaveLength(3);
    expect(now.find((volume) => volume.target === 'vdc')?.id).toBe(known.find((volume) => volume.target === 'vdb')?.id);
  });

  it('of a VM that no host knows any more defines it again', async () => {
    agent.removeDomain(vm);
    await power('Gone');
    expect(await restore()).toMatchObject({ state: 'Succeeded' });
    expect(lastRequest()).toMatchObject({ defineMissingAs: 'web' });
    await power('Stopped');
    expect(await rows().countBy(VolumeEntity, { vmId: vm, attached: true })).toBe(2);
    expect(await rows().countBy(VolumeEntity, { vmId: vm })).toBe(2);
  });

  it('of a backup that failed is refused', async () => {
    agent.scripts.push({
      end: {
        state: OperationState.OPERATION_STATE_FAILED,
        outcome: VmOutcome.VM_OUTCOME_AS_BEFORE,
        error: { code: 'TOOL_FAILED', message: 'x', fields: {} },
      },
    });
    const failed = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    await manager.finished(failed.id);
    await expect(manager.get(RestoresService).restore(manager.admin, failed.backupId ?? '', WISH)).rejects.toMatchObject({
      code: 'WRONG_STATE',
    });
  });

  describe('of a VM that was given to another account', () => {
    let shop: Caller;
    let bank: Caller;
    const give = (to: Caller) => manager.get(VmsService).update(manager.admin, vm, { accountId: to.accountId as never });
    const dropping = { ...WISH, dropSnapshots: true };

    beforeEach(async () => {
      [shop, bank] = [await manager.newUser('shop'), await manager.newUser('bank')];
      await give(shop);
      backupId = (await backUp(manager, vm)).id;
      await shutOff();
    });

    it('is not for the former owner, whose backup it is; an administrator may', async () => {
      await give(bank);
      await expect(manager.get(RestoresService).restore(shop, backupId, dropping)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      const asked = await manager.get(RestoresService).restore(manager.admin, backupId, dropping);
      expect(await manager.finished(asked.id)).toMatchObject({ state: 'Succeeded' });
    });

    it('does not begin when it was given away while the restore waited', async () => {
      agent.scripts.push({ hold: true });
      const before = await startBackup(manager, vm, { isolated: true });
      await waitFor('the agent to work', () => agent.operations.get(before.id));
      const asked = await manager.get(RestoresService).restore(shop, backupId, dropping);
      await give(bank);
      agent.resume(before.id);
      expect(await manager.finished(asked.id)).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });
      expect(agent.accepted.map(({ kind }) => kind)).not.toContain('restoreBackup');
      expect(await vmRow()).toMatchObject({ activeOperationId: null, protectionState: 'Ok' });
    });

    it('does not begin when it is given away in the middle of its planning', async () => {
      const refresher = manager.get(VmRefresher);
      const look = refresher.refresh.bind(refresher);
      refresher.refresh = async (known) => {
        const seen = await look(known);
        await give(bank);
        return seen;
      };
      const asked = await manager.get(RestoresService).restore(shop, backupId, dropping);
      expect(await manager.finished(asked.id)).toMatchObject({ state: 'Failed', error: { code: 'WRONG_STATE' } });
      expect(agent.accepted.map(({ kind }) => kind)).not.toContain('restoreBackup');
    });
  });
});
