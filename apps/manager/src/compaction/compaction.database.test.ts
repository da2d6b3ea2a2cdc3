/** Compaction in the manager: when it is asked for, what the agent is told, and what is recorded of its end. */
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { CompactChainRequest } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { OperationState, VmOutcome } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import { BackupsService } from '../backups/backups.service.js';
import { DeletionsService } from '../deletions/deletions.service.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { SettingsService } from '../settings/settings.service.js';
import type { FakeAgent } from '../testing/fake-agent.js';
import { protectedVm } from '../testing/protected-vm.js';
import { managerPerTest } from '../testing/manager-per-test.js';
import type { TestManager } from '../testing/test-manager.js';
import { waitFor } from '../testing/wait-for.js';
import { CompactionRequests } from './compaction-requests.js';
import { CompactionsService } from './compactions.service.js';

const FAILED = { state: OperationState.OPERATION_STATE_FAILED, outcome: VmOutcome.VM_OUTCOME_MERGE_PENDING };

describe('compaction', () => {
  let manager: TestManager;
  let agent: FakeAgent;
  let vm: string;

  managerPerTest(async (made) => {
    ({ manager } = made);
    agent = await made.newHost();
    const disks = { vda: ['/pool/root.qcow2'], vdb: ['/pool/data.qcow2'] };
    vm = (await protectedVm(manager, agent, made.zone, { disks, chainSize: 0 })).id;
  });

  const rows = () => manager.database.dataSource.manager;
  const enable = (value: string) => manager.get(SettingsService).update(manager.admin, 'backup.compaction.enabled', { value });
  const backup = (id: string): Promise<Backup> => manager.get(BackupsService).get(manager.admin, id);
  async function take(): Promise<string> {
    const wish = { description: '', isolated: false, quiesce: 'no' } as const;
    const operation = await manager.get(BackupsService).create(manager.admin, vm, wish);
    expect((await manager.finished(operation.id)).state).toBe('Succeeded');
    return operation.backupId ?? '';
  }
  async function chain(length: number): Promise<string[]> {
    const ids: string[] = [];
    while (ids.length < length) ids.push(await take());
    return ids;
  }
  async function remove(id: string): Promise<void> {
    await deletion(id);
    await waitFor('removed', async () => ((await backup(id)).state === 'BackedUp' ? undefined : true));
  }
  const deletion = (id: string) => manager.get(DeletionsService).deleteOne(manager.admin, id, { forced: false, dryRun: false });
  const compactions = () => rows().find(OperationEntity, { where: { kind: 'CompactChain' }, order: { seq: 'ASC' } });
  const asked = (): CompactChainRequest[] =>
    agent.accepted.flatMap((command) => (command.kind === 'compactChain' ? [command.request] : []));
  const expunged = (id: string) => waitFor('expunged', async () => ((await backup(id)).state === 'Expunged' ? true : undefined));

  it('follows the deletion of the oldest backup where the setting is on, and the child is full then', async () => {
    await enable('true');
    await manager.get(SettingsService).update(manager.admin, 'backup.compaction.rate.limit', { value: '20' });
    const [first = '', second = '', third = ''] = await chain(3);
    await remove(first);
    await expunged(first);
    expect(asked()).toMatchObject([{ absorbedBackupId: first, childBackupId: second, bytesPerSecond: 20_000_000n }]);
    const child = await backup(second);
    expect(child).toMatchObject({
      type: 'FULL',
      state: 'BackedUp',
      sizeBytes: '10000',
      fullReason: expect.stringContaining('was deleted'),
    });
    expect(child).not.toHaveProperty('parentId');
    for (const volume of child.volumes) {
      expect(volume).toMatchObject({ sizeBytes: '5000', digest: `blake3:${'c'.repeat(64)}`, copiedInFull: true });
      expect(volume).not.toHaveProperty('parentFile');
    }
    // The chain goes on over it, and the next oldest is merged in turn.
    const fourth = await take();
    expect(await backup(fourth)).toMatchObject({ type: 'INCREMENTAL', parentId: third });
    await remove(second);
    await expunged(second);
    expect(asked().map(({ childBackupId }) => childBackupId)).toEqual([second, third]);
    expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({ protectionState: 'Ok', headBackupId: fourth });
  });

  it('is not asked for by itself where the setting is off, is by an administrator, and when it is switched on', async () => {
    const [first = '', second = '', third = ''] = await chain(3);
    await expect(manager.get(CompactionsService).compact(manager.admin, second)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    await remove(first);
    await manager.get(CompactionRequests).round();
    expect(await compactions()).toEqual([]);
    await expect(manager.get(CompactionsService).compact(manager.admin, third)).rejects.toMatchObject({ code: 'WRONG_STATE' });
    const operation = await manager.get(CompactionsService).compact(manager.admin, second);
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded', backupId: second });
    expect((await backup(first)).state).toBe('Expunged');
    expect(asked()[0]?.bytesPerSecond).toBe(0n);

    await remove(second);
    await enable('true');
    await manager.get(CompactionRequests).round();
    await expunged(second);
  });

  it('that failed keeps everything on record, and is tried again with back-off', async () => {
    await enable('true');
    const [first = '', second = ''] = await chain(2);
    const deleted = deletion(first);
    agent.scripts.push({ end: { ...FAILED, error: { code: 'STORAGE_FULL', message: 'full', fields: {} } } });
    await deleted;
    await waitFor('a failure', async () => ((await compactions())[0]?.state === 'Failed' ? true : undefined));
    expect(await backup(first)).toMatchObject({ state: 'Removed' });
    expect(await backup(second)).toMatchObject({ type: 'INCREMENTAL', parentId: first });
    expect(await rows().findOneByOrFail(VmEntity, { id: vm })).toMatchObject({ protectionState: 'Ok', activeOperationId: null });
    await manager.get(CompactionRequests).round();
    expect(await compactions()).toHaveLength(1);
    await rows().update(OperationEntity, { kind: 'CompactChain' }, { finishedAt: new Date(Date.now() - 60_000) });
    await manager.get(CompactionRequests).round();
    await manager.get(CompactionRequests).round();
    await expunged(first);
    expect(await compactions()).toHaveLength(2);
  });

  it('whose agent lost its state is asked again', async () => {
    await enable('true');
    const [first = ''] = await chain(2);
    agent.scripts.push({ hold: true });
    await deletion(first);
    const running = await waitFor('a compaction', async () => (await compactions()).find(({ state }) => state === 'Running'));
    agent.loseState();
    await agent.stop();
    await agent.start();
    expect(await manager.finished(running.id)).toMatchObject({ state: 'Failed', error: { code: 'INTERRUPTED' } });
    expect((await rows().findOneByOrFail(BackupEntity, { id: first })).state).toBe('Removed');
    await rows().update(OperationEntity, { kind: 'CompactChain' }, { finishedAt: new Date(Date.now() - 60_000) });
    await manager.get(CompactionRequests).round();
    await expunged(first);
  });

  it('waits for an operation of another VM that reads the chain', async () => {
    const [first = '', second = ''] = await chain(2);
    await remove(first);
    const reader = randomUUID();
    const now = new Date();
    await rows().insert(OperationEntity, {
      ...{ id: reader, kind: 'RestoreBackup', state: 'Running', vmId: randomUUID(), backupId: second, input: {}, steps: [] },
      ...{ progress: [], warnings: [], cancelRequested: false, createdAt: now, runAt: now, owner: randomUUID() },
      ...{ request: { kind: 'restoreBackup' } as object, leaseUntil: new Date(now.getTime() + 3_600_000) },
    });
    const operation = await manager.get(CompactionsService).compact(manager.admin, second);
    await waitFor('it waits', async () => {
      const row = await rows().findOneByOrFail(OperationEntity, { id: operation.id });
      return row.waitingFor?.includes(reader) === true ? true : undefined;
    });
    await rows().update(OperationEntity, { id: reader }, { state: 'Succeeded', finishedAt: now });
    expect(await manager.finished(operation.id)).toMatchObject({ state: 'Succeeded' });
  });
});
