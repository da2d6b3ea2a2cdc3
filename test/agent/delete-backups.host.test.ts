/**
 * DeleteBackups of the agent on a real file system that can be read-only, full or gone; no VM is needed. What is looked at is
 * what really lies on the storage.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../apps/agent/src/clock/clock.js';
import { deleteBackupsCommand } from '../../apps/agent/src/commands/delete-backups/delete-backups.js';
import type { CommandPorts } from '../../apps/agent/src/commands/ports.js';
import type { DeleteBackupsResult } from '../../apps/agent/src/commands/requests.js';
import { bigintJson } from '../../apps/agent/src/commands/shared/bigint-json.js';
import { FencingTokens } from '../../apps/agent/src/operations/fencing.js';
import { JournalStore } from '../../apps/agent/src/operations/journal.js';
import { noBreakpoints } from '../../apps/agent/src/operations/no-breakpoints.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { OperationRunner } from '../../apps/agent/src/operations/runner.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import { ChildTargetFiles } from '../../apps/agent/src/secondary/child-target-files.js';
import { KnownRoots } from '../../apps/agent/src/secondary/known-roots.js';
import { MountedStorageLeases } from '../../apps/agent/src/secondary/mounted-storage-leases.js';
import { Mounter } from '../../apps/agent/src/secondary/mounter.js';
import type { StorageSpec } from '../../apps/agent/src/secondary/storage-spec.js';
import { run } from '../testbed/command.js';
import { TestStorage } from '../testbed/test-storage.js';
import { CountingRunner, silentLog } from './rig.js';

const VM = randomUUID();
const VOLUME = randomUUID();
let media: TestStorage;
let storage: StorageSpec;
let runner: OperationRunner;
let leases: MountedStorageLeases;
let token = 0n;
/** Sees every call before it is made. */
let beforeCall: (args: readonly string[]) => Promise<void> = async () => {};

class WatchedRunner extends CountingRunner {
  override async run(...call: Parameters<CountingRunner['run']>): ReturnType<CountingRunner['run']> {
    await beforeCall(call[1]);
    return super.run(...call);
  }
}

beforeAll(async () => {
  media = await TestStorage.create({ name: 'delete-backups', kind: 'filesystem', sizeMiB: 64 });
  const tools = new WatchedRunner();
  const roots = new KnownRoots([media.path]);
  const files = new ChildTargetFiles(tools, new ChildFileLooks(tools), roots);
  const stateDir = join(media.path, '..', 'state');
  const mountRoot = join(stateDir, 'mnt');
  const [clock, log] = [systemClock, silentLog];
  leases = new MountedStorageLeases({ stateDir, mountRoot, files, roots, mounter: new Mounter(tools), clock, log });
  // Nothing of a VM is touched: a hypervisor that were asked would be missed.
  const duties = { relieve: async () => {} };
  const ports = { files, storages: leases, clock, duties } as unknown as CommandPorts;
  runner = new OperationRunner({
    ...{ journals: new JournalStore(stateDir), fencing: new FencingTokens(stateDir), clock, log },
    ...{ commands: { DeleteBackups: deleteBackupsCommand(ports) }, maxConcurrentOperations: 0, breakpoints: noBreakpoints },
    ...{ undoPatienceMs: 5_000, backoff: { firstMs: 50, mostMs: 100 }, bootId: 'boot' },
  });
  await runner.recover();
  await leases.recover([]);
  storage = { id: randomUUID(), name: 'nas', type: 'dir', source: media.path, options: '' };
  await leases.inspect(storage, true);
});
afterAll(async () => {
  await runner?.stop();
  leases?.close();
  await media?.destroy();
});

const folder = (id: string): string => join(media.path, 'backups', VM, id);
const folders = async (): Promise<string[]> => (await readdir(join(media.path, 'backups', VM)).catch(() => [])).sort();

/** A published backup: a real image over its parent's, and a manifest. */
async function publish(id: string, parent?: string): Promise<string> {
  await mkdir(folder(id), { recursive: true });
  const backing = parent === undefined ? undefined : `../${parent}/${VOLUME}.qcow2`;
  const file = join(folder(id), `${VOLUME}.qcow2`);
  const over = backing === undefined ? [] : ['-b', backing, '-F', 'qcow2'];
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...over, file, '4M']);
  await writeFile(join(folder(id), 'domain.xml'), '<domain/>');
  const at = new Date(0).toISOString();
  const volume = {
    ...{ key: VOLUME, device: 'vda', sizeBytes: '1', virtualSizeBytes: '4194304', file: `${VOLUME}.qcow2`, format: 'qcow2' },
    ...{ sourceFormat: 'qcow2', digest: `blake3:${'0'.repeat(64)}`, parentFile: backing },
  };
  const manifest = {
    ...{ schemaVersion: 1, backupId: id, backupName: `b ${id.slice(0, 4)}`, vm: { id: VM, name: 'vm' }, storageId: storage.id },
    ...{ frozenAt: at, publishedAt: at, type: parent === undefined ? 'FULL' : 'INCREMENTAL', parentBackupId: parent },
    ...{ endOfChain: false, isolated: false, quiesced: false, volumes: [volume], domainXmlFile: 'domain.xml' },
    ...{ vmSettings: {}, notes: {} },
    writtenBy: { program: 'holdfast-agent', version: 't', host: 'h', operationId: randomUUID() },
  };
  await writeFile(join(folder(id), 'manifest.json'), JSON.stringify(manifest));
  return id;
}

async function end(...backupIds: string[]): Promise<{ view: OperationView; result: DeleteBackupsResult }> {
  token += 1n;
  const header = { operationId: randomUUID(), vmUuid: VM, vmName: 'vm', fencingToken: token, timeoutSeconds: 0 };
  await runner.accept('DeleteBackups', { header, deletions: [{ storage, backupIds }], volumes: [] } as never);
  const view = await new Promise<OperationView>((resolve) => {
    const over = runner.watch(header.operationId, (now) => {
      if (!['Succeeded', 'Failed', 'Cancelled'].includes(now.state)) return;
      queueMicrotask(() => over());
      resolve(now);
    });
  });
  return { view, result: bigintJson<DeleteBackupsResult>().decode(view.result ?? null) };
}

describe('DeleteBackups on a real file system', () => {
  let b1: string;
  let b2: string;
  let b3: string;
  beforeEach(async () => {
    b1 = await publish(randomUUID());
    b2 = await publish(randomUUID(), b1);
    b3 = await publish(randomUUID(), b2);
  });
  afterEach(() => rm(join(media.path, 'backups'), { recursive: true, force: true }));

  it('deletes newest first what is named, says what it freed, and leaves what is below', async () => {
    const size = (await stat(join(folder(b3), `${VOLUME}.qcow2`))).blocks * 512;
    const { view, result } = await end(b3, b2);
    expect([view.state, view.vmOutcome]).toEqual(['Succeeded', 'AsAfter']);
    expect(view.steps.map(({ name, subject }) => [name, subject])).toEqual([
      ['check', storage.id],
      ['delete', b3],
      ['delete', b2],
    ]);
    expect(result).toMatchObject({ expungedBackupIds: [b3, b2], changes: { removedPaths: [] } });
    expect(Number(result.freedBytes)).toBeGreaterThanOrEqual(2 * size);
    expect(await folders()).toEqual([b1]);
    // Gone already is as good as deleted, and the last one takes the VM's folder with it.
    expect((await end(b3, b2, b1)).result.expungedBackupIds).toEqual([b3, b2, b1]);
    expect(await readdir(join(media.path, 'backups'))).toEqual([]);
  });

  it('refuses, before anything is touched, while a backup on the storage needs one of them, whatever it was told', async () => {
    const { view, result } = await end(b2, b1);
    expect(view.error).toMatchObject({ code: 'IN_USE', fields: { backupId: b2, dependentId: b3 } });
    expect([view.vmOutcome, result.expungedBackupIds]).toEqual(['AsBefore', []]);
    expect(await folders()).toEqual([b1, b2, b3].sort());
    expect((await readdir(folder(b2))).length).toBe(3);
    await writeFile(join(folder(b3), 'manifest.json'), 'nonsense');
    expect((await end(b2, b1)).view.error).toMatchObject({ code: 'BACKUP_DAMAGED', fields: { backupId: b3 } });
    expect((await end(b3, b2, b1)).view.state).toBe('Succeeded');
  });

  it('goes on where an earlier try stopped: a manifest out of the way, a folder half empty', async () => {
    await rename(join(folder(b3), 'manifest.json'), join(folder(b3), 'manifest.json.partial'));
    await rm(join(folder(b3), 'domain.xml'));
    expect((await end(b3)).view.state).toBe('Succeeded');
    expect(await folders()).toEqual([b1, b2].sort());
  });

  it('leaves what is not of Holdfast, and says so', async () => {
    await writeFile(join(folder(b3), 'notes of the owner.txt'), 'mine');
    const { view } = await end(b3);
    expect(view).toMatchObject({ state: 'Succeeded', warnings: [expect.stringContaining('notes of the owner.txt')] });
    expect(await readdir(folder(b3))).toEqual(['notes of the owner.txt']);
  });

  it('on a full storage it makes room', async () => {
    await media.fill();
    try {
      expect((await end(b3)).view.state).toBe('Succeeded');
    } finally {
      await media.unfill();
    }
  });

  it('on a read-only storage it fails clearly with everything there, and succeeds afterwards', async () => {
    await media.remountReadOnly();
    const { view, result } = await end(b3, b2).finally(() => media.remountReadWrite());
    expect([view.state, view.error?.code, result.expungedBackupIds]).toEqual(['Failed', 'STORAGE_READ_ONLY', []]);
    expect(await readdir(folder(b3))).toContain('manifest.json');
    expect((await end(b3, b2)).result.expungedBackupIds).toEqual([b3, b2]);
  });

  it('on a storage that is away nothing is called deleted', async () => {
    await media.vanish();
    const { view, result } = await end(b3).finally(() => media.reappear());
    expect([view.state, view.error?.code, result.expungedBackupIds]).toEqual(['Failed', 'STORAGE_MISSING', []]);
    expect(await folders()).toEqual([b1, b2, b3].sort());
  });

  it('on a storage that was away only while files were deleted, too', async () => {
    const moments: string[] = [];
    beforeCall = async (args) => {
      if (moments.length === 0 && args.includes(folder(b3))) {
        moments.push('away');
        await media.vanish();
      } else if (moments.length === 1 && args.includes(join(media.path, 'holdfast.json'))) {
        moments.push('back');
        await media.reappear();
      }
    };
    const { view, result } = await end(b3).finally(() => (beforeCall = async () => {}));
    expect(moments).toEqual(['away', 'back']);
    expect([view.state, view.error?.code, result.expungedBackupIds]).toEqual(['Failed', 'STORAGE_MISSING', []]);
    expect(await folders()).toEqual([b1, b2, b3].sort());
  });
});
