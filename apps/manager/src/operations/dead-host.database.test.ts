/** A host that dies in the middle of work while its VM is started on another: a whole manager and two hosts in memory. */
import { describe, expect, it } from '@jest/globals';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { DomainState, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type { TakeBackupRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, StepState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { BackupsService } from '../backups/backups.service.js';
import { HostsService } from '../inventory/hosts.service.js';
import { RestoresService } from '../restores/restores.service.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { DeletionsService } from '../deletions/deletions.service.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { backUp, protectedVm, sentBackup } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { OperationSweep } from './operation-sweep.js';

describe('work on a host that died', () => {
  let manager: TestManager;
  let dead: FakeAgent;
  let other: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    dead = await made.newHost('the host that dies');
    other = await made.newHost('the other host');
    vm = (await protectedVm(manager, dead, made.zone)).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const vmRow = () => rows().findOneByOrFail(VmEntity, { id: vm });
  const take = (): Promise<Operation> =>
    manager.get(BackupsService).create(manager.admin, vm, { description: '', isolated: false, quiesce: 'no' });

  /** A backup that the agent has begun and does not end, and the VM as it is there. */
  async function held(): Promise<{ operation: Operation; domain: Domain }> {
    dead.scripts.push({ hold: true });
    const operation = await take();
    await waitFor('the agent to work', () => dead.operations.get(operation.id));
    const domain = dead.domains.get(vm);
    if (domain === undefined) throw new Error('no domain');
    return { operation, domain };
  }

  it('is given up when the VM runs elsewhere: its disks are brought to rest and backed up there', async () => {
    const { operation, domain } = await held();
    await dead.stop();
    const hostId = (await vmRow()).hostId ?? '';
    await manager.hostState(hostId, 'Down');
    // A definition alone proves nothing: the VM may still run where nobody answers.
    other.setDomain({ ...domain, state: DomainState.DOMAIN_STATE_SHUT_OFF });
    other.setDomain(domain);
    expect(await manager.finished(operation.id)).toMatchObject({
      state: 'Failed',
      error: { code: 'INTERRUPTED', message: expect.stringMatching(/runs on another host/) },
    });
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(other.accepted.at(-1)).toMatchObject({ kind: 'cleanupBackupError' });
    expect(await manager.finished((await take()).id)).toMatchObject({ state: 'Succeeded' });

    // It comes back with the work unfinished, and is told to forget it once it has ended there.
    await dead.start();
    await manager.hostState(hostId, 'Up');
    dead.resume(operation.id);
    await waitFor('the end', () => (dead.operations.get(operation.id)?.operation.finishedAtUnixMs ? true : undefined));
    await manager.get(OperationSweep).round();
    expect(dead.forgotten).toContain(operation.id);
    expect(await vmRow()).toMatchObject({ powerState: 'Running', protectionState: 'Ok' });
  });

  /** The manifest that the agent writes for what it was asked, with this change. */
  function manifestText(request: TakeBackupRequest, change: object = {}): string {
    const manifest = {
      schemaVersion: 1,
      backupId: request.backupId,
      backupName: request.backupName,
      vm: { id: vm, name: 'web' },
      storageId: request.storage?.id,
      frozenAt: '2025-03-04T05:06:07.000Z',
      publishedAt: '2025-03-04T05:07:08.000Z',
      type: request.parentBackupId === '' ? 'FULL' : 'INCREMENTAL',
      ...(request.parentBackupId === '' ? {} : { parentBackupId: request.parentBackupId }),
      endOfChain: false,
      isolated: false,
      quiesced: true,
      volumes: request.volumes.map(({ key, target, parentDeltaPath }) => ({
        key,
        device: target,
        sizeBytes: '4242',
        virtualSizeBytes: '1000000',
        file: `${key}.qcow2`,
        ...(parentDeltaPath === '' ? {} : { parentFile: `../${request.parentBackupId}/${key}.qcow2` }),
        format: 'qcow2',
        sourceFormat: 'qcow2',
        digest: `blake3:${'d'.repeat(64)}`,
      })),
      domainXmlFile: 'domain.xml',
      vmSettings: {},
      notes: {},
      writtenBy: { program: 'holdfast-agent', version: '0', host: 'dead', operationId: request.header?.operationId },
    };
    return JSON.stringify({ ...manifest, ...change });
  }

  type Written = (request: TakeBackupRequest) => string | Promise<string>;

  /** A second backup whose host dies when it stands on storage with this manifest, and the VM at rest on the other host. */
  async function diesPublished(manifestOf: Written): Promise<{ first: string; second: string }> {
    const first = await backUp(manager, vm);
    const { operation, domain } = await held();
    const request = sentBackup(dead, 1);
    const backupId = operation.backupId ?? '';
    await dead.stop();
    await manager.hostState((await vmRow()).hostId ?? '', 'Down');
    const published = [{ backupId, manifest: await manifestOf(request) }];
    const changes = { removedPaths: request.volumes.map(({ newDeltaPath }) => newDeltaPath), leftPaths: [], movedPins: [] };
    other.scripts.push({
      end: {
        state: OperationState.OPERATION_STATE_SUCCEEDED,
        outcome: VmOutcome.VM_OUTCOME_AS_AFTER,
        result: { $case: 'cleanupBackupError', value: { plan: [], planned: [], activePaths: {}, changes, published } },
      },
    });
    other.setDomain(domain);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Failed', error: { code: 'INTERRUPTED' } });
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(other.accepted).toMatchObject([{ kind: 'cleanupBackupError', request: { unpublishedBackupIds: [backupId] } }]);
    return { first: first.id, second: backupId };
  }

  const show = (id: string) => manager.get(BackupsService).get(manager.admin, id);

  it('a backup that was published before is one: it is as its manifest says, and what it needs stays', async () => {
    const { first, second } = await diesPublished((request) => manifestText(request));
    const { file, ...volume } = await rows().findOneByOrFail(BackupVolumeEntity, { backupId: second });
    expect(file).toBe(`backups/${vm}/${second}/${volume.key}.qcow2`);
    expect(volume).toMatchObject({
      ...{ target: 'vda', sizeBytes: 4242n, virtualSizeBytes: 1_000_000n, digest: `blake3:${'d'.repeat(64)}` },
      ...{ parentFile: `../${first}/${volume.key}.qcow2`, copiedInFull: false },
    });
    expect(await rows().findOneByOrFail(BackupEntity, { id: second })).toMatchObject({
      ...{ state: 'BackedUp', type: 'INCREMENTAL', parentId: first, quiesced: true, endOfChain: true, error: null },
      ...{ sizeBytes: 4242n, frozenAt: new Date('2025-03-04T05:06:07.000Z'), finishedAt: new Date('2025-03-04T05:07:08.000Z') },
      leftoversOnStorage: false,
    });
    expect(await vmRow()).toMatchObject({ headBackupId: first, cleanupAttempts: 0 });
    expect(await backUp(manager, vm)).toMatchObject({ state: 'BackedUp', parentId: first });
    await manager.get(DeletionsService).deleteOne(manager.admin, first, { forced: false, dryRun: false });
    await waitFor('the deletion', async () => ((await show(first)).state === 'Removed' ? true : undefined));
    expect((await show(second)).state).toBe('BackedUp');
  });

  it('a deletion that failed because of it is none any more', async () => {
    const { first, second } = await diesPublished(async (request) => {
      await rows().update(BackupEntity, { id: request.parentBackupId }, { state: 'DeleteFailed' });
      return manifestText(request);
    });
    expect([(await show(first)).state, (await show(second)).state]).toEqual(['Removed', 'BackedUp']);
  });

  it('a backup that was published after it was given up is deleted: its disks may have been merged by then', async () => {
    const publishedAt = new Date(Date.now() + 3_600_000).toISOString();
    const { first, second } = await diesPublished((request) => manifestText(request, { publishedAt }));
    await waitFor('the deletion', async () => ((await show(second)).state === 'Expunged' ? true : undefined));
    expect(other.accepted.at(-1)).toMatchObject({ kind: 'deleteBackups', request: { deletions: [{ backupIds: [second] }] } });
    expect((await show(first)).state).toBe('BackedUp');
  });

  it.each([
    ['cannot be read', () => '{'],
    ['is of another backup', (request: TakeBackupRequest) => manifestText(request, { backupId: request.header?.operationId })],
  ])('a backup whose manifest %s has failed, and is left to the check of its storage', async (_what, text) => {
    const { second } = await diesPublished(text);
    expect(await rows().findOneByOrFail(BackupEntity, { id: second })).toMatchObject({
      ...{ state: 'Failed', leftoversOnStorage: false },
    });
  });

  it('leaves no guest frozen: one that moved in the middle of a failed backup is thawed where it is', async () => {
    const { operation, domain } = await held();
    const hostId = (await vmRow()).hostId;
    dead.removeDomain(vm);
    other.setDomain(domain);
    await waitFor('the move', async () => ((await vmRow()).hostId === hostId ? undefined : true));
    const step = (name: string) => ({
      name,
      subject: '',
      state: StepState.STEP_STATE_DONE,
      startedAtUnixMs: 1n,
      finishedAtUnixMs: 1n,
    });
    dead.resume(operation.id, {
      end: {
        state: OperationState.OPERATION_STATE_FAILED,
        outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING,
        error: { code: 'NOT_FOUND', message: 'it left', fields: {} },
        steps: [step('preflight'), step('freeze')],
      },
    });
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Failed' });
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(other.accepted.at(-1)).toMatchObject({ kind: 'cleanupBackupError', request: { thaw: true } });
    // A backup that went well there froze it last: nothing is owed any more.
    other.scripts.push({
      end: {
        state: OperationState.OPERATION_STATE_SUCCEEDED,
        outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING,
        steps: [step('freeze'), step('thaw')],
      },
      act: true,
    });
    await manager.finished((await take()).id);
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
    expect(other.accepted.at(-1)).toMatchObject({ kind: 'cleanupBackupError', request: { thaw: false } });
  });

  it('is waited for as long as nobody has seen the VM run elsewhere', async () => {
    const { operation, domain } = await held();
    await dead.stop();
    await manager.hostState((await vmRow()).hostId ?? '', 'Down');
    other.setDomain({ ...domain, state: DomainState.DOMAIN_STATE_SHUT_OFF });
    await waitFor('waiting', async () =>
      (await rows().findOneByOrFail(OperationEntity, { id: operation.id })).waitingFor === null ? undefined : true,
    );
    await dead.start();
    dead.resume(operation.id);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
  });

  it('is over when the host is given up as lost: its VM is gone, and is restored on another host', async () => {
    const backup = await backUp(manager, vm);
    const { operation } = await held();
    const hostId = (await vmRow()).hostId ?? '';
    const hosts = manager.get(HostsService);
    await expect(hosts.delete(manager.admin, hostId, { lost: true })).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await dead.stop();
    await manager.hostState(hostId, 'Down');
    await expect(hosts.delete(manager.admin, hostId, { lost: false })).rejects.toMatchObject({
      code: 'IN_USE',
      message: expect.stringContaining('holdfast host delete --lost'),
    });
    await hosts.delete(manager.admin, hostId, { lost: true });
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Failed', error: { code: 'INTERRUPTED' } });
    expect(await vmRow()).toMatchObject({ powerState: 'Gone', hostId: null, activeOperationId: null });
    expect((await manager.get(BackupsService).get(manager.admin, backup.id)).state).toBe('BackedUp');

    const restores = manager.get(RestoresService);
    const wish = { acceptDamaged: false, dropSnapshots: false };
    await expect(restores.restore(manager.admin, backup.id, wish)).rejects.toMatchObject({ code: 'HOST_UNAVAILABLE' });
    const [left] = (await hosts.list(manager.admin, { limit: 10 })).items;
    const restore = await restores.restore(manager.admin, backup.id, { ...wish, hostId: left?.id });
    expect(await manager.finished(restore.id)).toMatchObject({ state: 'Succeeded' });
    await waitFor('the VM', async () => ((await vmRow()).hostId === left?.id ? true : undefined));
    expect((await vmRow()).powerState).toBe('Stopped');
    await waitFor('rest', async () => ((await vmRow()).protectionState === 'Ok' ? true : undefined));
  });
});
