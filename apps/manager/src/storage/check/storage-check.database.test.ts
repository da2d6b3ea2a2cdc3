/** The check of a storage over a whole manager, and a manager whose database was set back to an earlier day. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { StorageCheck } from '@holdfast/shared/api/storage.js';
import { Operation, OperationKind } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { Caller } from '../../access/caller.js';
import { BackupsService } from '../../backups/backups.service.js';
import { DeletionsService } from '../../deletions/deletions.service.js';
import { OfferingsService } from '../../offerings/offerings.service.js';
import { HostEntity } from '../../persistence/entities/inventory.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../../persistence/entities/vm.entities.js';
import { domainOf, type FakeAgent } from '../../testing/fake-agent.js';
import { storedBackup, storedEntry } from '../../testing/stored-backup.js';
import { TestCluster, type TestDatabase } from '../../testing/test-database.js';
import { managerFolder, TestManager } from '../../testing/test-manager.js';
import { waitFor } from '../../testing/wait-for.js';
import { VmsService } from '../../vms/vms.service.js';
import { StoragesService } from '../storages.service.js';
import { StorageCheckService } from './storage-check.service.js';

const ORPHAN = `/pool/root.${randomUUID()}.hf.qcow2`;

describe('the check of a storage', () => {
  let cluster: TestCluster;
  let database: TestDatabase;
  let folder: string;
  let manager: TestManager;
  let agent: FakeAgent;
  let zone: string;
  let vm: string;
  let storage: string;

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());

  beforeEach(async () => {
    database = await cluster.newDatabase();
    folder = managerFolder(cluster.folder);
    manager = await TestManager.start(await database.open(), folder);
    zone = await manager.newZone();
    agent = await manager.newHost(zone);
    const wish = { zoneId: zone as never, name: 's', type: 'dir' as const, source: '/backup', options: '', adopt: false };
    storage = (await manager.get(StoragesService).create(manager.admin, wish)).id;
    vm = randomUUID();
    agent.setDomain(domainOf(vm, 'vm "1"', { vda: ['/pool/root.qcow2'] }, () => agent.newInode()));
    await waitFor('the VM', async () => (await rows().findOneBy(VmEntity, { id: vm })) ?? undefined);
    const offering = await manager.get(OfferingsService).create(manager.admin, { name: 'o', description: '', chainSize: 0 });
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId: offering.id });
  });
  afterEach(async () => {
    await manager.stop();
    await agent.stop();
  });

  const rows = () => manager.database.dataSource.manager;
  const check = (): Promise<StorageCheck> => manager.get(StorageCheckService).check(manager.admin, storage);
  const clean = (...findings: string[]) => manager.get(StorageCheckService).clean(manager.admin, storage, { findings });
  const kinds = async (): Promise<string[]> => (await check()).findings.map(({ kind, path }) => `${kind} ${path}`);

  async function backup(): Promise<Backup> {
    const { id, backupId } = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    const end = await manager.finished(id);
    expect(end).toMatchObject({ state: 'Succeeded' });
    return manager.get(BackupsService).get(manager.admin, backupId ?? '');
  }

  /** What the agent would have written for a backup. */
  const onStorage = (one: Backup): unknown => agent.entries.push(...storedBackup(one));

  /** What the agent would find in its pools: every layer of its VMs with a name of ours. */
  function inPool(...more: string[]): void {
    const paths = [...agent.domains.values()].flatMap(({ disks }) =>
      disks.flatMap((disk) => disk.layers.map(({ path }) => path)),
    );
    const layers = [...paths.filter((path) => path.endsWith('.hf.qcow2')), ...more];
    agent.layers.push(...layers.map((path) => ({ path, inode: 7n, sizeBytes: 10n, allocatedBytes: 4096n })));
  }

  it('finds nothing at rest, and everything that nobody knows; removes what is named, and nothing else', async () => {
    onStorage(await backup());
    onStorage(await backup());
    inPool();
    expect(await check()).toMatchObject({ findings: [], notChecked: [], files: 6, allocatedBytes: String(6 * 4096) });

    const torn = `backups/${vm}/${randomUUID()}`;
    agent.entries.push(
      storedEntry(torn, { directory: true }),
      storedEntry(`${torn}/x.qcow2`, { backingName: '' }),
      storedEntry('backups/readme'),
    );
    inPool(ORPHAN);
    agent.silentPools.push('/nfs');
    const found = await check();
    expect(found.findings.map(({ kind, path, removable }) => [kind, path, removable])).toEqual([
      ['FolderWithoutManifest', torn, true],
      ['ForeignEntry', 'backups/readme', false],
      ['OrphanLayer', ORPHAN, true],
    ]);
    expect(found.notChecked).toEqual([expect.stringMatching(/Pool \/nfs of .* does not answer/)]);
    const [folderId = '', foreignId = '', orphanId = ''] = found.findings.map(({ id }) => id);
    expect((await check()).findings.map(({ id }) => id)).toEqual([folderId, foreignId, orphanId]);

    await expect(clean(folderId, 'nonsense')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(clean(folderId, foreignId)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    expect(agent.removals).toEqual([]);
    agent.removeStray = (path) =>
      path === ORPHAN
        ? { path, freedBytes: 0n, keptCode: 'FILE_IN_USE', keptBecause: 'a VM has it by now' }
        : { path, freedBytes: 4096n, keptCode: '', keptBecause: '' };
    expect(await clean(folderId, orphanId)).toEqual({
      cleaned: [
        { id: folderId, path: torn, freedBytes: '4096' },
        {
          id: orphanId,
          path: ORPHAN,
          freedBytes: '0',
          kept: { code: 'FILE_IN_USE', message: 'a VM has it by now', fields: { path: ORPHAN } },
        },
      ],
      freedBytes: '4096',
    });
    expect(agent.removals).toMatchObject([
      {
        storage: { id: storage },
        paths: [{ path: torn, folder: true, deletedBackup: false }],
        layers: [{ path: ORPHAN, inode: 7n }],
      },
    ]);
  });

  it('leaves out what an operation works on, known to the database or not, and is the administrator’s alone', async () => {
    const torn = `backups/${vm}/${randomUUID()}`;
    agent.entries.push(storedEntry(torn, { directory: true }));
    const [id] = (await check()).findings.map((finding) => finding.id);
    agent.scripts.push({ hold: true });
    const { id: operation } = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    await waitFor('the agent to work', () => agent.operations.get(operation));
    const busy = await check();
    expect(busy.findings).toEqual([]);
    expect(busy.notChecked).toEqual([expect.stringContaining(vm)]);
    await expect(clean(id ?? '')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    agent.resume(operation);
    await manager.finished(operation);

    const user = { ...manager.admin, role: 'user' } as Caller;
    await expect(manager.get(StorageCheckService).check(user, storage)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(manager.get(StorageCheckService).clean(user, storage, { findings: ['x'] })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    await expect(manager.get(StorageCheckService).check(manager.admin, randomUUID())).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it.each(['its head is deleted', 'its chain is finished'])(
    'leaves the newest layer of an undefined VM alone when %s',
    async (how) => {
      const { id } = await backup();
      inPool();
      const [delta] = agent.domains.get(vm)?.disks[0]?.layers.map(({ path }) => path) ?? [];
      expect(agent.layers.map(({ path }) => path)).toEqual([delta]);
      agent.removeDomain(vm);
      await waitFor(
        'the VM is gone',
        async () => (await rows().findOneBy(VmEntity, { id: vm, powerState: 'Gone' })) ?? undefined,
      );
      const operations =
        how === 'its head is deleted'
          ? (await manager.get(DeletionsService).deleteOne(manager.admin, id, { forced: true, dryRun: false })).operations
          : [await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false })];
      for (const one of operations) expect(await manager.finished(one.id)).toMatchObject({ state: 'Succeeded' });
      // No record names the delta any more, but all that was written since the backup is in it.
      expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
      expect((await check()).findings.filter(({ hostId }) => hostId !== undefined)).toEqual([]);
    },
  );

  it('finds what a restore left on primary, but not while a host restores or reverts, whoever asked for that', async () => {
    const left = '/pool/root.0a1b2c3d.restored.qcow2';
    agent.layers.push(...[left, `${left}.partial`].map((path) => ({ path, inode: 7n, sizeBytes: 10n, allocatedBytes: 4096n })));
    const operation = { vmUuid: randomUUID(), finishedAtUnixMs: 0n, kind: OperationKind.OPERATION_KIND_RESTORE_BACKUP };
    const unknown = { operation: Operation.fromPartial(operation) };
    agent.operations.set('unknown', unknown as never);
    expect(await check()).toMatchObject({
      findings: [],
      notChecked: [expect.stringMatching(/restore or revert is at work/), expect.stringContaining(operation.vmUuid)],
    });
    agent.operations.delete('unknown');
    const found = (await check()).findings;
    expect(found.map(({ kind, path }) => `${kind} ${path}`)).toEqual([`OrphanVolume ${left}`, `PartialFile ${left}.partial`]);
    await clean(...found.map(({ id }) => id));
    expect(agent.removals[0]?.layers.map(({ path, inode }) => [path, inode])).toEqual([
      [left, 7n],
      [`${left}.partial`, 7n],
    ]);
    expect(agent.removals[0]?.paths).toEqual([]);
  });

  it('checks with the hosts that answer, and removes nothing while one does not', async () => {
    agent.entries.push(storedEntry(`backups/${vm}/${randomUUID()}`, { directory: true }));
    const second = await manager.newHost(zone);
    await second.stop();
    await waitFor('the second host is down', async () => (await rows().findOneBy(HostEntity, { state: 'Down' })) ?? undefined);
    const found = await check();
    expect(found.findings).toHaveLength(1);
    expect(found.notChecked[0]).toMatch(/cannot be asked/);
    await expect(clean(found.findings[0]?.id ?? '')).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    expect(agent.removals).toEqual([]);
  });

  it('a database of yesterday: nothing of today is lost or removed, and the next backup is right', async () => {
    const b1 = await backup();
    onStorage(b1);
    await manager.stop();
    const yesterday = await database.copy();
    manager = await TestManager.start(await database.open(), folder);
    const b2 = await backup();
    const b3 = await backup();
    onStorage(b2);
    onStorage(b3);
    const layers = agent.domains.get(vm)?.disks[0]?.layers.map(({ path }) => path) ?? [];
    await manager.stop();

    manager = await TestManager.start(await yesterday.open(), folder);
    const host = (await rows().find(HostEntity))[0];
    await manager.hostState(host?.id ?? '', 'Up');
    inPool();
    // The backups of today are there, are named, and cannot be cleaned away; nor can the delta that holds today's data.
    expect(await kinds()).toEqual(
      [b2.id, b3.id]
        .sort()
        .map((id) => `UnknownBackup backups/${vm}/${id}`)
        .concat(`UntrackedLayer ${layers[0]}`),
    );
    for (const { id } of (await check()).findings) await expect(clean(id)).rejects.toMatchObject({ code: 'WRONG_STATE' });

    // Yesterday's head is not what primary has tracked since: no backup may be put on it. Newer tokens of today do not lock it out.
    const next = await backup();
    expect(next.type).toBe('FULL');
    expect(next.fullReason).toMatch(/vda: .*delta/);
    const command = agent.accepted.at(-1);
    if (command?.kind !== 'takeBackup') throw new Error('no backup was sent');
    expect(command.request.volumes[0]).toMatchObject({ activePath: layers[0], parentDeltaPath: '', mergeDeltaPaths: [] });
    const now = agent.domains.get(vm)?.disks[0]?.layers.map(({ path }) => path);
    expect(now).toEqual([command.request.volumes[0]?.newDeltaPath, ...layers]);
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm, backupId: next.id })).toBe(1);

    const after = await backup();
    expect(after).toMatchObject({ type: 'INCREMENTAL', parentId: next.id });
    onStorage(next);
    onStorage(after);
    expect(await kinds()).toEqual(
      [b2.id, b3.id]
        .sort()
        .map((id) => `UnknownBackup backups/${vm}/${id}`)
        .concat(`UntrackedLayer ${layers[0]}`),
    );

    // The end of the chain takes the layer that no record names with it, but not while another VM has it.
    const finish = async (): Promise<void> => {
      const { id } = await manager.get(VmsService).finishBackupChain(manager.admin, vm, { dryRun: false });
      expect(await manager.finished(id)).toMatchObject({ state: 'Succeeded' });
    };
    const another = randomUUID();
    await rows().insert(VmEntity, {
      ...(await rows().findOneByOrFail(VmEntity, { id: vm })),
      id: another,
      name: 'clone',
      hostId: null,
    });
    const volume = await rows().findOneByOrFail(VolumeEntity, { vmId: vm });
    await rows().insert(VolumeEntity, { ...volume, id: randomUUID(), vmId: another });
    await finish();
    expect(agent.domains.get(vm)?.disks[0]?.layers[0]).toMatchObject({ path: layers[0] });
    await rows().delete(VolumeEntity, { vmId: another });
    await finish();
    expect(agent.domains.get(vm)?.disks[0]?.layers).toHaveLength(1);
    agent.layers.length = 0;
    inPool();
    expect(await kinds()).toEqual([b2.id, b3.id].sort().map((id) => `UnknownBackup backups/${vm}/${id}`));
  });
});
