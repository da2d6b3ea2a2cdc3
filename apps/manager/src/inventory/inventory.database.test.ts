/** Hosts that join, go and come; VMs that move; storages, offerings and accounts with the names and mistakes of people. */
import { randomUUID, X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { DomainState } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import { AccountsService } from '../accounts/accounts.service.js';
import { BackupsService } from '../backups/backups.service.js';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { OfferingsService } from '../offerings/offerings.service.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { SupersededFileEntity, VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { SettingsService } from '../settings/settings.service.js';
import { StoragesService } from '../storage/storages.service.js';
import { domainOf, layerOf, type FakeAgent } from '../testing/fake-agent.js';
import { TestCluster } from '../testing/test-database.js';
import { newRequest } from '../testing/certificate-request.js';
import { managerFolder, TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { VmsService } from '../vms/vms.service.js';
import { HostsService } from './hosts.service.js';
import { JoinService } from './join.service.js';
import { VmRefresher } from './vm-refresher.js';
import { ZonesService } from './zones.service.js';

const HOSTILE = `a "b" 'c' $(id) ; \u00e4\u2028 <x> \\ %s {0}`;

describe('the inventory', () => {
  let cluster: TestCluster;
  let manager: TestManager;
  let zone: string;
  let folder: string;
  const agents: FakeAgent[] = [];

  beforeAll(async () => {
    cluster = await TestCluster.open();
  });
  afterAll(() => cluster.close());
  beforeEach(async () => {
    folder = managerFolder(cluster.folder);
    manager = await TestManager.start(await (await cluster.newDatabase()).open(), folder);
    zone = await manager.newZone(HOSTILE);
  });
  afterEach(async () => {
    await manager.stop();
    await Promise.all(agents.splice(0).map((agent) => agent.stop()));
  });

  const rows = () => manager.database.dataSource.manager;
  const newHost = async (name?: string): Promise<FakeAgent> => {
    const agent = await manager.newHost(zone, name);
    agents.push(agent);
    return agent;
  };
  const hostIdOf = async (agent: FakeAgent): Promise<string> =>
    (await rows().findOneByOrFail(HostEntity, { address: `127.0.0.1:${agent.port}` })).id;
  const vmIs = (vm: string, what: Partial<VmEntity>) =>
    waitFor(JSON.stringify(what), async () => (await rows().findOneBy(VmEntity, { id: vm, ...what } as never)) ?? undefined);

  describe('joining', () => {
    const join = async (token: string, name = 'h', address = '127.0.0.1:9') =>
      manager.get(JoinService).join({ token, name, address, certificateRequestPem: (await newRequest()).requestPem });
    const newToken = async (validSeconds = 60) =>
      (await manager.get(JoinService).createToken(manager.admin, { zoneId: zone as never, validSeconds })).token;

    it('gives a certificate for the id of the host, from the CA that the token names', async () => {
      const token = await newToken();
      const joined = await join(token, HOSTILE);
      const certificate = new X509Certificate(joined.certificatePem);
      expect(certificate.subjectAltName).toBe(`DNS:${joined.hostId}`);
      expect(certificate.verify(new X509Certificate(joined.caCertificatePem).publicKey)).toBe(true);
      expect(token.split('.')[2]).toBe(
        new X509Certificate(joined.caCertificatePem).fingerprint256.replaceAll(':', '').toLowerCase(),
      );
      expect(await manager.get(HostsService).get(manager.admin, joined.hostId)).toMatchObject({ name: HOSTILE, state: 'Down' });
    });

    it('a token counts once, for a time, and only as it was made', async () => {
      const token = await newToken();
      await join(token);
      await expect(join(token, 'other', '127.0.0.1:10')).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
      await expect(join('hfj1.nonsense.x')).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
      await expect(join('')).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
      const old = await newToken();
      await manager.database.dataSource.query(
        `UPDATE join_token SET expires_at = now() - interval '1 second' WHERE used_at IS NULL`,
      );
      await expect(join(old)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    });

    it('a token that failed to let a host in can be used again; its secret is nowhere in the database', async () => {
      const token = await newToken();
      await expect(
        manager.get(JoinService).join({ token, name: 'h', address: '127.0.0.1:9', certificateRequestPem: 'no' }),
      ).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      await expect(join(token, 'h', 'no address')).rejects.toMatchObject({ code: 'INVALID_INPUT' });
      const stored = JSON.stringify(await manager.database.dataSource.query('SELECT * FROM join_token'));
      expect(stored).not.toContain(token.split('.')[1]);
      await join(token);
    });

    it('a second host of a name, or of an address, is refused; one that is down may be set up anew', async () => {
      const agent = await newHost('twin');
      await expect(join(await newToken(), 'twin', '127.0.0.1:11')).rejects.toMatchObject({ code: 'NAME_TAKEN' });
      await expect(join(await newToken(), 'other', `127.0.0.1:${agent.port}`)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
      const id = await hostIdOf(agent);
      await agent.stop();
      await manager.hostState(id, 'Down');
      expect((await join(await newToken(), 'twin', '127.0.0.1:12')).hostId).toBe(id);
    });
  });

  it('another machine at the address of a host is not taken for it', async () => {
    const agent = await newHost();
    const id = await hostIdOf(agent);
    const stranger = await newHost();
    await manager.get(HostsService).update(manager.admin, await hostIdOf(stranger), { address: '127.0.0.1:1' });
    await manager.get(HostsService).update(manager.admin, id, { address: `127.0.0.1:${stranger.port}` });
    await manager.hostState(id, 'Down');
  });

  it('a host whose libvirtd does not answer is down and says what to start', async () => {
    const agent = await newHost();
    agent.hypervisorAvailable = false;
    expect((await manager.hostState(await hostIdOf(agent), 'Down')).stateReason).toContain('libvirtd');
  });

  it('finds VMs with the worst of names, follows them from host to host, and keeps them when they are gone', async () => {
    const [a, b] = [await newHost(), await newHost()];
    const vm = randomUUID();
    const name = `${HOSTILE}\n\t`;
    const domain = domainOf(vm, name, { vda: ['/pool/x'] }, () => a.newInode());
    a.setDomain(domain);
    await vmIs(vm, { name, hostId: await hostIdOf(a), powerState: 'Running' });
    const [volume] = await manager.get(VmsService).volumes(manager.admin, vm);
    b.setDomain(domain);
    a.removeDomain(vm);
    await vmIs(vm, { hostId: await hostIdOf(b), powerState: 'Running' });
    expect((await manager.get(VmsService).volumes(manager.admin, vm)).map((one) => one.id)).toEqual([volume?.id]);
    b.removeDomain(vm);
    await vmIs(vm, { powerState: 'Gone' });
    b.setDomain(domain);
    await vmIs(vm, { powerState: 'Running' });
  });

  it('a definition that a migration left behind is not taken for the VM, whoever is asked and whoever is silent', async () => {
    const [a, b] = [await newHost(), await newHost()];
    const vm = randomUUID();
    const running = domainOf(vm, 'v', { vda: ['/pool/x'] }, () => a.newInode());
    a.setDomain(running);
    const known = await vmIs(vm, { hostId: await hostIdOf(a), powerState: 'Running' });
    // Neither host has told of it yet.
    const left = { ...running, state: DomainState.DOMAIN_STATE_SHUT_OFF };
    a.domains.set(vm, left);
    b.domains.set(vm, running);
    const refreshed = await manager.get(VmRefresher).refresh(known);
    expect(refreshed).toMatchObject({ hostId: await hostIdOf(b), powerState: 'Running' });

    await b.stop();
    await vmIs(vm, { powerState: 'Unknown' });
    a.setDomain({ ...left, name: 'said again' });
    const other = randomUUID();
    a.setDomain(domainOf(other, 'later', { vda: ['/pool/y'] }, () => a.newInode()));
    await vmIs(other, { powerState: 'Running' });
    await vmIs(vm, { hostId: await hostIdOf(b), powerState: 'Unknown', name: 'v' });
  });

  it('a VM that left one host is looked for on the others, which may have told of it too early', async () => {
    const [a, b] = [await newHost(), await newHost()];
    const vm = randomUUID();
    const domain = domainOf(vm, 'v', { vda: ['/pool/x'] }, () => a.newInode());
    a.setDomain(domain);
    await vmIs(vm, { hostId: await hostIdOf(a), powerState: 'Running' });
    b.domains.set(vm, domain);
    a.removeDomain(vm);
    await vmIs(vm, { hostId: await hostIdOf(b), powerState: 'Running' });

    b.removeDomain(vm);
    const gone = await vmIs(vm, { powerState: 'Gone' });
    a.domains.set(vm, domain);
    expect(await manager.get(VmRefresher).seek(gone)).toMatchObject({ hostId: await hostIdOf(a), powerState: 'Running' });
  });

  it('the delta of a volume that moved to another storage is listed as left behind where it was, and tracked no more', async () => {
    const agent = await newHost();
    const vm = randomUUID();
    const domain = domainOf(vm, 'v', { vda: ['/pool/delta', '/pool/x'], vdb: ['/pool/other'] }, () => agent.newInode());
    agent.setDomain(domain);
    await vmIs(vm, { powerState: 'Running' });
    const volume = await waitFor(
      'volume',
      async () => (await rows().findOneBy(VolumeEntity, { vmId: vm, target: 'vda' })) ?? undefined,
    );
    const backupId = randomUUID();
    await rows().insert(VolumeDeltaEntity, {
      id: randomUUID(),
      vmId: vm,
      volumeId: volume.id,
      backupId,
      path: '/pool/delta',
      inode: null,
      state: 'Present',
    });
    agent.setDomain({
      ...domain,
      disks: domain.disks.map((disk) => (disk.target === 'vda' ? { ...disk, layers: [layerOf('/other/x', 9n)] } : disk)),
    });
    await waitFor(
      'moved',
      async () => (await rows().findOneBy(VolumeEntity, { id: volume.id, basePath: '/other/x' })) ?? undefined,
    );
    expect(await rows().findBy(SupersededFileEntity, { vmId: vm })).toMatchObject([
      { volumeId: volume.id, hostId: await hostIdOf(agent), path: '/pool/delta', operationId: backupId },
    ]);
    expect(await rows().countBy(VolumeDeltaEntity, { vmId: vm })).toBe(0);
  });

  it('a host that was away is compared in full: what went meanwhile is gone, what came is there', async () => {
    const agent = await newHost();
    const [stays, goes, comes] = [randomUUID(), randomUUID(), randomUUID()];
    const inode = () => agent.newInode();
    agent.setDomain(domainOf(stays, 'stays', { vda: ['/pool/1'] }, inode));
    agent.setDomain(domainOf(goes, 'goes', { vda: ['/pool/2'] }, inode));
    await vmIs(goes, { powerState: 'Running' });
    await agent.stop();
    await vmIs(stays, { powerState: 'Unknown' });
    agent.domains.delete(goes);
    agent.domains.set(comes, domainOf(comes, 'comes', { vda: ['/pool/3'] }, inode));
    await agent.start();
    await vmIs(comes, { powerState: 'Running' });
    await vmIs(stays, { powerState: 'Running' });
    await vmIs(goes, { powerState: 'Gone' });
  });

  it('a disk whose files were replaced is the same volume on new ground', async () => {
    const agent = await newHost();
    const vm = randomUUID();
    const domain = domainOf(vm, 'v', { vda: ['/pool/x'] }, () => agent.newInode());
    agent.setDomain(domain);
    await waitFor('volume', async () => (await rows().findOneBy(VolumeEntity, { vmId: vm })) ?? undefined);
    agent.setDomain({
      ...domain,
      disks: domain.disks.map((disk) => ({ ...disk, layers: [layerOf('/other/y', 9n), layerOf('/t', 8n)] })),
    });
    await waitFor(
      'moved',
      async () => (await rows().findOneBy(VolumeEntity, { vmId: vm, basePath: '/other/y', templatePath: '/t' })) ?? undefined,
    );
    expect(await rows().countBy(VolumeEntity, { vmId: vm })).toBe(1);
  });

  it('storages: duplicates by name or place, a place that is not ours, secrets that are not shown, a full one named at the backup', async () => {
    const agent = await newHost();
    const storages = manager.get(StoragesService);
    const wish = {
      zoneId: zone as never,
      name: HOSTILE,
      type: 'cifs' as const,
      source: `//h/share ${HOSTILE}`,
      options: `user=${HOSTILE},password=s3cret,secret=x`,
      adopt: false,
    };
    const asked: unknown[] = [];
    const { storage: answer } = agent;
    agent.storage = (request) => {
      asked.push(request.storage);
      return answer(request);
    };
    const created = await storages.create(manager.admin, wish);
    expect(created).toMatchObject({ name: HOSTILE, source: wish.source, totalBytes: '1000000000000' });
    expect(created.options).toBe(`user=${HOSTILE},password=***,secret=***`);
    expect(asked).toMatchObject([{ source: wish.source, options: wish.options }]);
    await expect(storages.create(manager.admin, wish)).rejects.toMatchObject({ code: 'NAME_TAKEN', fields: { name: HOSTILE } });
    await expect(storages.create(manager.admin, { ...wish, name: 'n' })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
      fields: { storageId: created.id },
    });
    await expect(storages.create(manager.admin, { ...wish, name: 'n', type: 'dir', source: 'relative' })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
    agent.storage = () => {
      throw new HoldfastError('STORAGE_NOT_EMPTY', 'something else is there');
    };
    await expect(storages.create(manager.admin, { ...wish, name: 'n', source: '//h/other' })).rejects.toMatchObject({
      code: 'STORAGE_NOT_EMPTY',
    });
    const row = await rows().findOneByOrFail(StorageEntity, { id: created.id });
    await storages.refresh(row);
    expect(await storages.get(manager.admin, created.id)).toMatchObject({ problem: { code: 'STORAGE_NOT_EMPTY' } });

    const vm = randomUUID();
    agent.setDomain(domainOf(vm, 'v', { vda: ['/pool/x'] }, () => agent.newInode()));
    await vmIs(vm, { powerState: 'Running' });
    const offering = await manager.get(OfferingsService).create(manager.admin, { name: 'o', description: '' });
    await manager.get(VmsService).assignOffering(manager.admin, vm, { offeringId: offering.id });
    const backup = () =>
      manager.get(BackupsService).create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });
    await expect(backup()).rejects.toMatchObject({ code: 'STORAGE_MISSING' });
    agent.storage = ({ storage }) => ({
      storageId: storage?.id ?? '',
      formatVersion: 1,
      totalBytes: 10n,
      freeBytes: 1n,
      writable: true,
    });
    await storages.refresh(row);
    await expect(backup()).rejects.toMatchObject({ code: 'STORAGE_FULL' });
  });

  it('a place that already is a Holdfast storage is taken over only by wish, with the identity that it has', async () => {
    const agent = await newHost();
    const found = randomUUID();
    agent.storage = ({ storage }) => {
      if (storage?.id !== found) throw new HoldfastError('STORAGE_NOT_OURS', 'another', { found });
      return { storageId: found, formatVersion: 1, totalBytes: 10n, freeBytes: 5n, writable: false };
    };
    const wish = { zoneId: zone as never, name: 'n', type: 'dir' as const, source: '/backup//x/', options: '', adopt: false };
    await expect(manager.get(StoragesService).create(manager.admin, wish)).rejects.toMatchObject({
      code: 'STORAGE_NOT_OURS',
      message: expect.stringContaining('adopt'),
    });
    const adopted = await manager.get(StoragesService).create(manager.admin, { ...wish, adopt: true });
    expect(adopted).toMatchObject({ id: found, source: '/backup/x', problem: { code: 'STORAGE_READ_ONLY' } });
  });

  it('offerings, accounts, zones: a name is taken once, what is in use stays, another account sees nothing', async () => {
    const agent = await newHost();
    const vm = randomUUID();
    agent.setDomain(domainOf(vm, 'v', { vda: ['/pool/x'] }, () => agent.newInode()));
    await vmIs(vm, { powerState: 'Running' });
    const offerings = manager.get(OfferingsService);
    const offering = await offerings.create(manager.admin, { name: HOSTILE, description: '', chainSize: 0 });
    expect(offering.chainSize).toBe(0);
    await expect(offerings.create(manager.admin, { name: HOSTILE, description: '' })).rejects.toMatchObject({
      code: 'NAME_TAKEN',
    });
    const other = await offerings.create(manager.admin, { name: 'other', description: '' });
    const vms = manager.get(VmsService);
    await vms.assignOffering(manager.admin, vm, { offeringId: offering.id });
    await expect(vms.assignOffering(manager.admin, vm, { offeringId: other.id })).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await expect(offerings.delete(manager.admin, offering.id)).rejects.toMatchObject({ code: 'IN_USE' });
    await offerings.delete(manager.admin, other.id);
    await expect(manager.get(ZonesService).delete(manager.admin, zone)).rejects.toMatchObject({ code: 'IN_USE' });
    await expect(manager.get(HostsService).delete(manager.admin, await hostIdOf(agent), { lost: false })).rejects.toMatchObject({
      code: 'IN_USE',
    });

    const accounts = manager.get(AccountsService);
    const account = await accounts.createAccount(manager.admin, { name: 'tenant' });
    const key = await accounts.createApiKey(manager.admin, { name: 'k', role: 'user', accountId: account.id });
    const user = await accounts.authenticate(key.secret);
    expect(user).toMatchObject({ role: 'user', accountId: account.id });
    await expect(accounts.authenticate('nothing')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    await expect(vms.get(user, vm)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect((await vms.list(user, { limit: 10 })).items).toEqual([]);
    await vms.update(manager.admin, vm, { accountId: account.id, settings: { a: 'b' } });
    expect((await vms.list(user, { limit: 10 })).items.map((one) => one.id)).toEqual([vm]);
    await expect(vms.update(user, vm, {})).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(manager.get(ZonesService).list(user, { limit: 1 })).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(accounts.deleteAccount(manager.admin, account.id)).rejects.toMatchObject({ code: 'IN_USE' });
    const short = await accounts.createApiKey(manager.admin, {
      name: 'k2',
      role: 'user',
      accountId: account.id,
      validSeconds: 1,
    });
    await manager.database.dataSource.query(`UPDATE api_key SET expires_at = now() - interval '1 second' WHERE id = $1`, [
      short.id,
    ]);
    await expect(accounts.authenticate(short.secret)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('settings are inherited from default to global to zone, and back', async () => {
    const settings = manager.get(SettingsService);
    const name = 'backup.chain.size';
    expect(await settings.get(manager.admin, name, zone)).toMatchObject({ value: '8', scope: 'default' });
    await settings.update(manager.admin, name, { value: '5' });
    await settings.update(manager.admin, name, { value: '3' }, zone);
    expect([await settings.resolve(name, zone), await settings.resolve(name, randomUUID())]).toEqual([3, 5]);
    expect(await settings.update(manager.admin, name, { value: null }, zone)).toMatchObject({ value: '5', scope: 'global' });
    await expect(settings.update(manager.admin, name, { value: 'x' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('the certificate authority is made once, for its owner alone, and is the same when opened again', async () => {
    const authority = manager.get(CertificateAuthority as never) as CertificateAuthority;
    expect((await stat(join(folder, 'ca', 'ca.pem'))).mode & 0o777).toBe(0o600);
    const again = await CertificateAuthority.open(join(folder, 'ca'), () => new Date());
    expect(again.fingerprint).toBe(authority.fingerprint);
    const server = await again.issueServer(['localhost', '127.0.0.1', '::1', 'manager.example']);
    const [leaf] = server.certificatePem.split(/(?<=-----END CERTIFICATE-----)/);
    expect(new X509Certificate(leaf ?? '').subjectAltName).toBe(
      'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:manager.example',
    );
    const client = await again.issueManagerClient();
    expect(new X509Certificate(client.certificatePem).subjectAltName).toBe('URI:holdfast:manager');
  });
});
