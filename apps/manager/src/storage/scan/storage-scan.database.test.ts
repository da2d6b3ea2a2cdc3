/** The scan of a storage over a whole manager: after its database was set back to an earlier day, and after it was lost. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StorageScan } from '@holdfast/shared/api/storage.js';
import type { Caller } from '../../access/caller.js';
import { BackupsService } from '../../backups/backups.service.js';
import { DeletionsService } from '../../deletions/deletions.service.js';
import { OfferingsService } from '../../offerings/offerings.service.js';
import { BackupEntity, BackupVolumeEntity } from '../../persistence/entities/backup.entities.js';
import { HostEntity } from '../../persistence/entities/inventory.entities.js';
import { VmEntity, VolumeEntity } from '../../persistence/entities/vm.entities.js';
import { RestoresService } from '../../restores/restores.service.js';
import { DomainState } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import { domainOf, type FakeAgent } from '../../testing/fake-agent.js';
import { storedBackup } from '../../testing/stored-backup.js';
import { TestCluster, type TestDatabase } from '../../testing/test-database.js';
import { managerFolder, TestManager } from '../../testing/test-manager.js';
import { waitFor } from '../../testing/wait-for.js';
import { VmsService } from '../../vms/vms.service.js';
import { StorageJudge } from '../check/storage-judge.js';
import { StorageCheckService } from '../check/storage-check.service.js';
import { StoragesService } from '../storages.service.js';
import { StorageScanService } from './storage-scan.service.js';

describe('the scan of a storage', () => {
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
    storage = await register(false);
    vm = randomUUID();
    agent.setDomain(domainOf(vm, 'vm "1"', { vda: ['/pool/root.qcow2'] }, () => agent.newInode()));
    await seen();
    await assign();
  });
  afterEach(async () => {
    await manager.stop();
    await agent.stop();
  });

  const rows = () => manager.database.dataSource.manager;
  const scan = (dryRun = false): Promise<StorageScan> => manager.get(StorageScanService).scan(manager.admin, storage, { dryRun });
  const kinds = async (): Promise<string[]> =>
    (await manager.get(StorageCheckService).check(manager.admin, storage)).findings.map(({ kind, path }) => `${kind} ${path}`);
  const get = (id: string): Promise<Backup> => manager.get(BackupsService).get(manager.admin, id);
  const ids = (found: StorageScan['left']): string[] => found.map(({ backupId }) => backupId);
  const nothing = { takenUp: [], corrected: [], newVms: [], left: [], warnings: [] };

  const register = async (adopt: boolean): Promise<string> => {
    const wish = { zoneId: zone as never, name: 's', type: 'dir' as const, source: '/backup', options: '', adopt };
    return (await manager.get(StoragesService).create(manager.admin, wish)).id;
  };
  const seen = (): Promise<VolumeEntity> =>
    waitFor('the VM', async () => (await rows().findOneBy(VolumeEntity, { vmId: vm })) ?? undefined);
  const assign = async (): Promise<void> => {
    const offering = await manager.get(OfferingsService).create(manager.admin, { name: 'o', description: '', chainSize: 0 });
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId: offering.id });
  };

  /** Frozen a minute after the one before; on the storage as the agent would have written it. */
  async function backup(change: object = {}): Promise<Backup> {
    const { id, backupId } = await manager
      .get(BackupsService)
      .create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    expect(await manager.finished(id)).toMatchObject({ state: 'Succeeded' });
    const one = await get(backupId ?? '');
    const frozenAt = new Date(Date.UTC(2026, 0, 1, 0, agent.entries.length)).toISOString();
    agent.entries.push(...storedBackup(one, { frozenAt, publishedAt: frozenAt, ...change }));
    return one;
  }

  /** One backup, then two more that yesterday's database does not know. */
  async function setBack(change: object = {}): Promise<[Backup, Backup, Backup]> {
    const b1 = await backup();
    await manager.stop();
    const yesterday = await database.copy();
    manager = await TestManager.start(await database.open(), folder);
    const b2 = await backup(change);
    const b3 = await backup();
    await manager.stop();
    manager = await TestManager.start(await yesterday.open(), folder);
    await manager.hostState((await rows().find(HostEntity))[0]?.id ?? '', 'Up');
    return [b1, b2, b3];
  }

  /** A manager with nothing; a host joins it, and the storage is taken over with its identity. */
  async function lose(): Promise<void> {
    const old = agent;
    await manager.stop();
    await old.stop();
    manager = await TestManager.start(await (await cluster.newDatabase()).open(), managerFolder(cluster.folder));
    zone = await manager.newZone();
    agent = await manager.newHost(zone);
    agent.entries.push(...old.entries);
    const { storage: inspect } = agent;
    const identity = storage;
    agent.storage = (request) => {
      if (request.storage?.id !== identity) throw new HoldfastError('STORAGE_NOT_OURS', 'another one', { found: identity });
      return inspect(request);
    };
    expect(await register(true)).toBe(identity);
    for (const domain of old.domains.values()) agent.setDomain(domain);
    if (old.domains.size > 0) await seen();
  }

  it('takes up what a database of yesterday does not know, once; then yesterday’s parent can be deleted with it', async () => {
    const account = randomUUID();
    const [b1, b2, b3] = await setBack({ notes: { description: 'before the update', accountId: account, fullReason: 'none' } });
    await rows().update(
      BackupEntity,
      { id: b1.id },
      { state: 'DeleteFailed', error: { code: 'IN_USE', message: 'x', fields: {} } },
    );
    const before = await rows().find(BackupEntity);

    const dry = await scan(true);
    expect(ids(dry.takenUp)).toEqual([b2.id, b3.id]);
    expect(dry).toMatchObject({ ...nothing, takenUp: expect.anything(), dryRun: true });
    expect(await rows().find(BackupEntity)).toEqual(before);

    const done = await scan();
    expect({ ...done, scannedAt: '' }).toEqual({ ...dry, dryRun: false, scannedAt: '' });
    expect(await get(b2.id)).toMatchObject({
      ...{ state: 'BackedUp', type: 'INCREMENTAL', parentId: b1.id, endOfChain: true, isolated: false, quiesced: false },
      ...{ name: b2.name, vmId: vm, vmName: 'vm "1"', description: 'before the update', sizeBytes: '1000', protected: false },
      warnings: [expect.stringMatching(/^Taken up from its storage by a scan at 2/)],
      volumes: [{ key: b2.volumes[0]?.key, target: 'vda', sizeBytes: '1000', parentFile: b2.volumes[0]?.parentFile }],
    });
    expect((await get(b2.id)).scheduleId).toBeUndefined();
    // An account of another database is nobody here.
    expect(await rows().findOneBy(BackupEntity, { id: b2.id })).toMatchObject({ accountId: null });
    expect((await rows().findOneByOrFail(VmEntity, { id: vm })).lastBackupAt).toEqual(
      new Date((await get(b3.id)).frozenAt ?? ''),
    );
    // Its deletion failed for what needs it: it is only kept for that now, and no deletion is due.
    expect(await rows().findOneBy(BackupEntity, { id: b1.id })).toMatchObject({ state: 'Removed', error: null });
    expect(await scan()).toMatchObject(nothing);
    expect((await kinds()).filter((kind) => !kind.startsWith('UntrackedLayer'))).toEqual([]);

    const deletion = await manager.get(DeletionsService).deleteOne(manager.admin, b2.id, { forced: true, dryRun: false });
    for (const { id } of deletion.operations) expect(await manager.finished(id)).toMatchObject({ state: 'Succeeded' });
    for (const { id } of [b1, b2, b3]) expect(await get(id)).toMatchObject({ state: 'Expunged' });
  });

  it('leaves what cannot be restored, what needs it, what failed, and what is half compacted, each with its reason', async () => {
    const [b1, b2, b3] = await setBack();
    const at = agent.entries.findIndex(({ path }) => path === `backups/${vm}/${b2.id}/domain.xml`);
    const [file] = agent.entries.splice(at, 1);
    expect(await scan()).toMatchObject({
      takenUp: [],
      left: [
        { backupId: b2.id, message: expect.stringMatching(/domain\.xml is missing/) },
        {
          backupId: b3.id,
          message: expect.stringMatching(`Its parent ${b2.id} is not recorded and cannot be taken up: .* is missing`),
        },
      ],
    });
    if (file !== undefined) agent.entries.push(file);
    await rows().update(BackupEntity, { id: b1.id }, { state: 'Failed' });
    expect((await scan()).left).toMatchObject([
      { backupId: b1.id, message: expect.stringMatching(/recorded as failed/) },
      { backupId: b2.id, message: expect.stringMatching(/is recorded as Failed/) },
      { backupId: b3.id, message: expect.stringMatching(/cannot be taken up/) },
    ]);
    await rows().update(BackupEntity, { id: b1.id }, { state: 'BackedUp' });
    const mark = { compaction: { role: 'absorbs', backupId: b1.id, operationId: randomUUID() } };
    const marked = storedBackup(b2, mark).find(({ path }) => path.endsWith('manifest.json'));
    const manifest = agent.entries.find(({ path }) => path === marked?.path);
    Object.assign(manifest ?? {}, marked);
    expect((await scan()).left).toMatchObject([
      { backupId: b2.id, message: expect.stringMatching(/in the middle of a compaction/) },
      { backupId: b3.id },
    ]);
    expect(await rows().countBy(BackupEntity, {})).toBe(1);
  });

  it('writes nothing of a VM that something works on, nor while a host cannot say, nor for anybody but the administrator', async () => {
    await setBack();
    const user = { ...manager.admin, role: 'user' } as Caller;
    await expect(manager.get(StorageScanService).scan(user, storage, { dryRun: true })).rejects.toMatchObject({
      code: 'FORBIDDEN',
    });
    await expect(manager.get(StorageScanService).scan(manager.admin, randomUUID(), { dryRun: true })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    agent.scripts.push({ hold: true });
    const wish = { description: '', isolated: false, quiesce: 'no' as const };
    const { id } = await manager.get(BackupsService).create(manager.admin, vm, wish);
    await waitFor('the agent to work', () => [...agent.operations.values()].find(({ script }) => script.hold));
    expect(await scan()).toMatchObject({ ...nothing, notChecked: [expect.stringContaining(vm)] });
    const [held = ''] = [...agent.operations].filter(([, { script }]) => script.hold).map(([operation]) => operation);
    agent.resume(held);
    await manager.finished(id);

    const second = await manager.newHost(zone);
    await second.stop();
    await waitFor('the second host is down', async () => (await rows().findOneBy(HostEntity, { state: 'Down' })) ?? undefined);
    await expect(scan()).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    expect((await scan(true)).takenUp).toHaveLength(2);
    expect(await rows().countBy(BackupEntity, { state: 'BackedUp' })).toBe(2);
  });

  it('writes nothing of a VM on which an operation began while it looked', async () => {
    const [, b2, b3] = await setBack();
    const judge = manager.get(StorageJudge);
    const of = judge.of.bind(judge);
    judge.of = async (id) => {
      const judgement = await of(id);
      const { operations } = await manager.get(DeletionsService).deleteOne(manager.admin, b1Id, { forced: true, dryRun: false });
      for (const one of operations) await manager.finished(one.id);
      return judgement;
    };
    const b1Id = (await rows().findOneByOrFail(BackupEntity, { state: 'BackedUp' })).id;
    const done = await scan();
    expect(done.takenUp).toEqual([]);
    expect(ids(done.left)).toEqual([b2.id, b3.id]);
    expect(await rows().countBy(BackupEntity, {})).toBe(1);
  });

  it('sets right what a compaction of the lost day changed; the absorbed parent is gone only when its folder is', async () => {
    await backup();
    const b1 = await rows().findOneByOrFail(BackupEntity, {});
    const b2 = await backup();
    const alone = b2.volumes.map(({ key, target, copiedInFull }) => ({ key, target, copiedInFull, file: '' }));
    const merged = storedBackup({ ...b2, type: 'FULL', volumes: alone }, { parentBackupId: undefined });
    agent.entries.splice(4, 4, ...merged);
    expect(await kinds()).toEqual([`RecordDiffers backups/${vm}/${b2.id}`]);
    const first = agent.entries.splice(0, 4);
    expect((await kinds()).sort()).toEqual([`MissingFile backups/${vm}/${b1.id}`, `RecordDiffers backups/${vm}/${b2.id}`]);

    agent.entries.unshift(...first);
    const dry = await scan(true);
    expect(dry.corrected).toHaveLength(1);
    agent.entries.splice(0, 4);
    const done = await scan();
    expect(ids(done.corrected)).toEqual([b2.id, b2.id]);
    expect(await get(b2.id)).toMatchObject({ state: 'BackedUp', type: 'FULL', sizeBytes: '1000' });
    expect((await get(b2.id)).parentId).toBeUndefined();
    expect(await rows().findOneBy(BackupVolumeEntity, { backupId: b2.id })).toMatchObject({
      parentFile: null,
      copiedInFull: true,
    });
    expect(await get(b1.id)).toMatchObject({ state: 'Expunged' });
    expect(await kinds()).toEqual([]);
    expect(await scan()).toMatchObject(nothing);
  });

  it('rebuilds a lost database for a VM that is still there: its disks are the volumes of its backups again', async () => {
    const b1 = await backup();
    const b2 = await backup();
    await lose();
    const done = await scan();
    expect(ids(done.takenUp)).toEqual([b1.id, b2.id]);
    expect(done).toMatchObject({ ...nothing, takenUp: expect.anything() });
    expect(await rows().find(VolumeEntity)).toMatchObject([{ id: b1.volumes[0]?.key, target: 'vda', attached: true }]);
    expect(await scan()).toMatchObject(nothing);

    const domain = agent.domains.get(vm);
    if (domain === undefined) throw new Error('no domain');
    agent.setDomain({ ...domain, state: DomainState.DOMAIN_STATE_SHUT_OFF });
    await waitFor('it is off', async () => (await rows().findOneBy(VmEntity, { id: vm, powerState: 'Stopped' })) ?? undefined);
    const wish = { acceptDamaged: false, dropSnapshots: false };
    const { id } = await manager.get(RestoresService).restore(manager.admin, b2.id, wish);
    expect(await manager.finished(id)).toMatchObject({ state: 'Succeeded' });
    const command = agent.accepted.at(-1);
    if (command?.kind !== 'restoreBackup') throw new Error('no restore was sent');
    const { path: currentPath } = domain.disks[0]?.layers[0] ?? {};
    expect(command.request).toMatchObject({ backupId: b2.id, volumes: [{ target: 'vda', currentPath }], defineMissingAs: '' });
    expect(await rows().countBy(VolumeEntity, { vmId: vm })).toBe(1);

    await assign();
    expect(await backup()).toMatchObject({ type: 'FULL' });
    expect(await backup()).toMatchObject({ type: 'INCREMENTAL' });
  });

  it('records another volume beside a disk that was backed up before the scan, and says so', async () => {
    const b1 = await backup();
    await lose();
    await assign();
    const next = await backup();
    const done = await scan();
    expect(ids(done.takenUp)).toEqual([b1.id]);
    expect(done.warnings).toEqual([expect.stringMatching(/vda.*Undefine the VM/)]);
    expect(await rows().find(VolumeEntity, { order: { attached: 'DESC' } })).toMatchObject([
      { id: next.volumes[0]?.key, attached: true },
      { id: b1.volumes[0]?.key, attached: false },
    ]);
    expect(await backup()).toMatchObject({ type: 'INCREMENTAL', parentId: next.id });
  });

  it('rebuilds a lost database for a VM that is gone, so that it can be restored; a host that has it takes it over', async () => {
    await backup();
    const b2 = await backup({ vmSettings: { a: 'b' } });
    agent.domains.clear();
    await lose();
    expect(await scan(true)).toMatchObject({ newVms: [{ vmId: vm, vmName: 'vm "1"' }] });
    expect(await rows().countBy(VmEntity, {})).toBe(0);
    expect(await scan()).toMatchObject({ ...nothing, takenUp: [{}, {}], newVms: [{ vmId: vm }] });
    const known = {
      id: vm,
      name: 'vm "1"',
      zoneId: zone,
      powerState: 'Gone',
      hostId: null,
      accountId: null,
      settings: { a: 'b' },
    };
    expect(await rows().find(VmEntity)).toMatchObject([known]);

    const wish = { acceptDamaged: false, dropSnapshots: false };
    await expect(manager.get(RestoresService).restore(manager.admin, b2.id, wish)).rejects.toMatchObject({
      message: expect.stringMatching(/Say on which host/),
    });
    const hostId = (await rows().findOneByOrFail(HostEntity, {})).id as never;
    const { id } = await manager.get(RestoresService).restore(manager.admin, b2.id, { ...wish, hostId });
    expect(await manager.finished(id)).toMatchObject({ state: 'Succeeded' });
    const command = agent.accepted.at(-1);
    if (command?.kind !== 'restoreBackup') throw new Error('no restore was sent');
    expect(command.request).toMatchObject({
      ...{ backupId: b2.id, defineMissingAs: 'vm "1"' },
      volumes: [{ key: b2.volumes[0]?.key, target: 'vda', newPath: `/pool/vda.${id.slice(0, 8)}.restored.qcow2` }],
    });
    await waitFor(
      'the host has it',
      async () => (await rows().findOneBy(VmEntity, { id: vm, hostId, powerState: 'Stopped' })) ?? undefined,
    );
    expect(await rows().find(VolumeEntity)).toMatchObject([{ id: b2.volumes[0]?.key, attached: true }]);
    expect(await scan()).toMatchObject(nothing);
  });
});
