/** Hosts under another name, and hosts whose agent is of another version: what goes on, and what is refused. */
import { describe, expect, it } from '@jest/globals';
import { CertificateAuthority } from '../certificates/certificate-authority.js';
import { OperationsService } from '../operations/operations.service.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, startBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import { newRequest } from '../testing/certificate-request.js';
import { managerFolder, type TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { HostsService } from './hosts.service.js';
import { JoinService } from './join.service.js';

const HOSTILE = `a "b" 'c' $(id) ; \u00e4\u2028 <x> \\ %s {0}`;

describe('a host', () => {
  let manager: TestManager;
  let zone: string;
  let folder: string;
  let agent: FakeAgent;
  let other: FakeAgent;
  let vm: string;
  let id: string;

  managerPerTest(async (made) => {
    ({ manager, zone, folder } = made);
    agent = await made.newHost('kvm1');
    other = await made.newHost('kvm2');
    vm = (await protectedVm(manager, agent, zone)).id;
    id = (await rows().findOneByOrFail(HostEntity, { name: 'kvm1' })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const hosts = () => manager.get(HostsService);
  const update = (input: { name?: string; address?: string }) => hosts().update(manager.admin, id, input);
  /** The host when a heartbeat that began after now has told of it. */
  const seenAgain = async (): Promise<HostEntity> => {
    const now = new Date();
    return waitFor('two heartbeats', async () => {
      const row = await rows().findOneByOrFail(HostEntity, { id });
      return row.lastSeenAt !== null && row.lastSeenAt.getTime() > now.getTime() + 200 ? row : undefined;
    });
  };
  const vmIs = (what: Partial<VmEntity>) =>
    waitFor(JSON.stringify(what), async () => (await rows().findOneBy(VmEntity, { id: vm, ...what } as never)) ?? undefined);

  describe('that is renamed', () => {
    it('keeps its VMs, the operation that runs and its connection; messages have the new name', async () => {
      agent.scripts.push({ hold: true });
      const operation = await startBackup(manager, vm);
      await waitFor('the agent to work', () => agent.operations.get(operation.id));
      expect(await update({ name: HOSTILE })).toMatchObject({ id, name: HOSTILE, state: 'Up' });
      expect(await seenAgain()).toMatchObject({ name: HOSTILE, state: 'Up', address: `127.0.0.1:${agent.port}` });
      expect(agent.peers.size).toBe(1);

      const domain = agent.domains.get(vm);
      if (domain === undefined) throw new Error('no domain');
      agent.setDomain({ ...domain, name: 'told after the renaming' });
      await vmIs({ hostId: id, powerState: 'Running', name: 'told after the renaming' });
      agent.resume(operation.id);
      expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
      expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp', type: 'INCREMENTAL' });

      await agent.stop();
      expect((await manager.hostState(id, 'Down')).stateReason).toContain(`The host "${HOSTILE}" (`);
      await expect(startBackup(manager, vm)).rejects.toMatchObject({
        code: 'HOST_UNAVAILABLE',
        message: expect.stringContaining(`The host "${HOSTILE}" does not answer`),
      });
      await agent.start();
      await manager.hostState(id, 'Up');
      await vmIs({ hostId: id, powerState: 'Running' });
    });

    it('gets no name and no address that another one has, in whichever zone, and may keep its own', async () => {
      await manager.newHost(await manager.newZone(), 'far').then((far) => far.stop());
      for (const name of ['kvm2', 'far']) {
        await expect(update({ name })).rejects.toMatchObject({
          code: 'NAME_TAKEN',
          message: `There already is a host named "${name}". Choose another name.`,
          fields: { hostId: id, name },
        });
      }
      const address = `127.0.0.1:${other.port}`;
      await expect(update({ name: 'new', address })).rejects.toMatchObject({
        code: 'NAME_TAKEN',
        message: `Another host has the address ${address} already.`,
      });
      expect(await hosts().get(manager.admin, id)).toMatchObject({ name: 'kvm1', address: `127.0.0.1:${agent.port}` });
      expect(await update({ name: 'kvm1' })).toMatchObject({ id, name: 'kvm1' });
      await update({ name: 'new' });
      expect(
        await hosts().update(manager.admin, (await rows().findOneByOrFail(HostEntity, { name: 'kvm2' })).id, { name: 'kvm1' }),
      ).toMatchObject({ name: 'kvm1' });
    });

    it('by its machine alone goes on under its name, and shows what the machine calls itself', async () => {
      expect(await hosts().get(manager.admin, id)).toMatchObject({ name: 'kvm1', hostname: 'fake' });
      agent.hostname = 'kvm1.new.example';
      await agent.stop();
      await agent.start();
      const row = await waitFor(
        'the host name',
        async () => (await rows().findOneBy(HostEntity, { id, hostname: agent.hostname, state: 'Up' })) ?? undefined,
      );
      expect(row.name).toBe('kvm1');
      expect(await hosts().get(manager.admin, id)).toMatchObject({ name: 'kvm1', hostname: 'kvm1.new.example', state: 'Up' });
      await vmIs({ hostId: id, powerState: 'Running' });
      expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp' });
    });

    it('joins anew under the name that it has here; under that of the machine it is told how', async () => {
      await update({ name: 'renamed' });
      await agent.stop();
      await manager.hostState(id, 'Down');
      const join = async (name: string) => {
        const { token } = await manager.get(JoinService).createToken(manager.admin, { zoneId: zone as never, validSeconds: 60 });
        const certificateRequestPem = (await newRequest()).requestPem;
        return manager.get(JoinService).join({ token, name, address: `127.0.0.1:${agent.port}`, certificateRequestPem });
      };
      await expect(join('kvm1')).rejects.toMatchObject({ code: 'NAME_TAKEN', message: expect.stringContaining('--name') });
      expect((await join('renamed')).hostId).toBe(id);
    });
  });

  it('that does not answer is never down while its VMs still count as running, whoever looks or dies in between', async () => {
    await rows().query(`
      CREATE FUNCTION vms_are_unknown() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.state = 'Down' AND EXISTS (SELECT 1 FROM vm WHERE host_id = NEW.id AND power_state = 'Running')
        THEN RAISE EXCEPTION 'a VM counts as running on a host that is down'; END IF;
        RETURN NEW;
      END $$`);
    await rows().query('CREATE TRIGGER never BEFORE UPDATE ON host FOR EACH ROW EXECUTE FUNCTION vms_are_unknown()');
    await vmIs({ hostId: id, powerState: 'Running' });
    await agent.stop();
    await manager.hostState(id, 'Down');
    expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({ powerState: 'Unknown' });
  });

  describe('whose certificates are not those of this manager', () => {
    /** As if it had joined another installation: certificates of another authority, for the same host. */
    const becomeForeign = async (): Promise<void> => {
      const foreign = await CertificateAuthority.open(managerFolder(folder), () => new Date());
      const { keyPem, requestPem } = await newRequest();
      const certificatePem = await foreign.issueForAgent(requestPem, id);
      await agent.stop();
      agent.become({ hostId: id, keyPem, certificatePem, caCertificatePem: foreign.certificatePem });
      await agent.start();
    };

    it('is down for that reason, in its state and in what waits for it or is refused, until it joins again', async () => {
      agent.scripts.push({ hold: true });
      const running = await startBackup(manager, vm);
      await waitFor('the agent to work', () => agent.operations.get(running.id));
      await becomeForeign();
      const reason = expect.stringMatching(/"kvm1".*does not trust \(\w+\).*join again with a new token/);
      const down = await waitFor('the reason', async () => {
        const row = await rows().findOneByOrFail(HostEntity, { id });
        return row.stateCode === 'CERTIFICATE_REFUSED' ? row : undefined;
      });
      expect(down).toMatchObject({ state: 'Down', stateReason: reason });
      await expect(startBackup(manager, vm)).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED', message: reason });
      await waitFor('the operation to say why it waits', async () => {
        const { waitingFor } = await manager.get(OperationsService).get(manager.admin, running.id);
        return waitingFor?.includes('does not trust') === true ? waitingFor : undefined;
      });

      const { token } = await manager.get(JoinService).createToken(manager.admin, { zoneId: zone as never, validSeconds: 60 });
      const { keyPem, requestPem } = await newRequest();
      const wish = { token, name: 'kvm1', address: `127.0.0.1:${agent.port}`, certificateRequestPem: requestPem };
      const joined = await manager.get(JoinService).join(wish);
      await agent.stop();
      agent.become({ ...joined, keyPem });
      await agent.start();
      expect(await manager.hostState(id, 'Up')).toMatchObject({ stateReason: null, stateCode: null });
      agent.resume(running.id);
      expect((await manager.finished(running.id)).state).toBe('Succeeded');
    });

    it('but does not answer at all: it is said to start its agent', async () => {
      await agent.stop();
      expect(await manager.hostState(id, 'Down')).toMatchObject({
        stateCode: 'HOST_UNAVAILABLE',
        stateReason: expect.stringContaining('Start its agent'),
      });
    });
  });

  describe('whose agent speaks another protocol', () => {
    it('is Incompatible and gets no work: backups are refused with both versions and the way out, until it fits again', async () => {
      agent.protocolVersion = 2;
      const { stateReason } = await manager.hostState(id, 'Incompatible');
      expect(stateReason).toBe('its agent 0.1.0 speaks protocol 2, this manager 1');
      await vmIs({ powerState: 'Unknown' });
      await expect(startBackup(manager, vm)).rejects.toMatchObject({
        code: 'VERSION_MISMATCH',
        message: `The agent on host "kvm1" does not fit this manager (${stateReason}). Install the same version of Holdfast on both.`,
        fields: { hostId: id, host: 'kvm1' },
      });
      expect(agent.accepted).toEqual([]);

      agent.protocolVersion = 1;
      await manager.hostState(id, 'Up');
      await vmIs({ powerState: 'Running' });
      expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp' });
    });

    it('lets work that waits for its turn wait, with the reason, and then does it', async () => {
      agent.scripts.push({ hold: true });
      const [first, second] = [await startBackup(manager, vm), await startBackup(manager, vm)];
      await waitFor('the agent to work', () => agent.operations.get(first.id));
      agent.protocolVersion = 2;
      await manager.hostState(id, 'Incompatible');
      agent.resume(first.id);
      await manager.finished(first.id);
      const waiting = await waitFor('waiting', async () => {
        const seen = await manager.get(OperationsService).get(manager.admin, second.id);
        return seen.waitingFor?.includes('protocol 2') === true ? seen : undefined;
      });
      expect(waiting).toMatchObject({ state: 'Queued', waitingFor: expect.stringContaining('Install the same version') });
      expect(agent.accepted).toHaveLength(1);
      agent.protocolVersion = 1;
      expect(await manager.finished(second.id)).toMatchObject({ state: 'Succeeded' });
    });
  });
});
