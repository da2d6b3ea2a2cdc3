/** Compaction of real chains of qcow2 files: what every restore point shows, before, after, and wherever the work is cut off. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readBackup } from '../../apps/agent/src/commands/shared/read-backup.js';
import { DyingJournalStore } from '../../apps/agent/src/operations/dying-journal-store.js';
import type { JournalEntry } from '../../apps/agent/src/operations/operation-view.js';
import { run, tryRun } from '../testbed/command.js';
import { imagesEqual } from '../testbed/images.js';
import { workDir } from '../testbed/work-dir.js';
import { ChainOnStorage } from './chain-on-storage.js';
import { CompactionRig } from './compaction-rig.js';

const CLUSTER = 64 * 1024;
let dir: string;
let template: ChainOnStorage;
let lives = 0;

beforeAll(async () => {
  await mkdir(workDir(), { recursive: true });
  dir = await mkdtemp(join(workDir(), 'compaction-'));
  template = await ChainOnStorage.create(dir, [
    {
      vda: { sizeMiB: 16, writes: ['write -P 1 0 8M', 'write -P 9 12M 1M'] },
      vdb: { sizeMiB: 4, writes: ['write -P 2 0 3M'] },
      vdc: { sizeMiB: 4, writes: ['write -P 3 0 1M'] },
      vdd: { sizeMiB: 4, writes: ['write -P 4 0 1M'] },
    },
    {
      // Overwritten, written anew, zeroed, and not a whole cluster.
      vda: { sizeMiB: 16, writes: ['write -P 5 1M 1M', 'write -P 6 10M 1M', 'write -z 3M 1M', 'write -P 7 5000k 512'] },
      // Has grown since.
      vdb: { sizeMiB: 6, writes: ['write -P 8 5M 512k'] },
      // vdc is detached now; vdd was replaced and is copied in full.
      vdd: { sizeMiB: 4, writes: ['write -P 5 2M 1M'], full: true },
    },
    {
      vda: { sizeMiB: 16, writes: ['write -P 11 1536k 64k', 'write -P 12 14M 64k'] },
      vdb: { sizeMiB: 6, writes: ['write -P 13 0 64k'] },
      vdd: { sizeMiB: 4, writes: ['write -P 14 0 64k'] },
    },
  ]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A fresh copy of the chain in a folder of its own. */
async function fresh(): Promise<{ folder: string; chain: ChainOnStorage }> {
  lives += 1;
  const folder = join(dir, `life ${lives}`);
  await mkdir(folder);
  return { folder, chain: await template.copyTo(folder) };
}

/** What must hold at every instant for the restore points that live. */
async function demandLiving(chain: ChainOnStorage): Promise<void> {
  for (const index of [1, 2]) await chain.demandContent(index);
}

async function demandCompacted(chain: ChainOnStorage): Promise<void> {
  await demandLiving(chain);
  for (const index of [1, 2]) await chain.demandWhole(index);
  expect(existsSync(chain.folder(0))).toBe(false);
  const manifest = await chain.manifest(1);
  expect(manifest).toMatchObject({ type: 'FULL', backupName: 'backup 1' });
  expect(manifest).not.toHaveProperty('parentBackupId');
  expect(manifest).not.toHaveProperty('compaction');
  expect((await chain.manifest(2)).parentBackupId).toBe(chain.backups[1]);
}

/** Every file of the storage with its digest. */
async function everything(chain: ChainOnStorage): Promise<string> {
  return run(['sh', '-c', 'cd "$0" && find . -type f | sort | xargs b3sum', chain.root]);
}

/** Lines after which something on storage is different; looks and proofs before the first mark are not among them. */
function confirms(entry: JournalEntry): boolean {
  if (entry.type === 'point-of-no-return') return true;
  return entry.type === 'step-confirmed' && entry.name !== 'preflight' && entry.name !== 'verify';
}

describe('the compaction of a chain', () => {
  it('merges the oldest backup with its child, in place, and writes no more than the child holds', async () => {
    const { folder, chain } = await fresh();
    const before = await readFile(chain.file(0, 'vda'));
    const inode = (await stat(chain.file(0, 'vda'))).ino;
    const childBytes = (await stat(chain.file(1, 'vda'))).size;
    const rig = await CompactionRig.start(folder, chain);
    const view = await rig.end(rig.request({ bytesPerSecond: 1_000_000_000n }));
    expect(view).toMatchObject({ state: 'Succeeded', vmOutcome: 'AsAfter', warnings: [] });
    await demandCompacted(chain);

    const manifest = await chain.manifest(1);
    expect(view.result).toMatchObject({
      volumes: manifest.volumes.map(({ key, sizeBytes, digest }) => ({ key, sizeBytes: { $bigint: sizeBytes }, digest })),
    });
    expect((await stat(chain.file(1, 'vda'))).ino).toBe(inode);
    const after = await readFile(chain.file(1, 'vda'));
    let changed = 0;
    for (let at = 0; at < after.length; at += CLUSTER) {
      const old = before.subarray(at, at + CLUSTER);
      if (!old.equals(after.subarray(at, at + CLUSTER))) changed += CLUSTER;
    }
    expect(changed).toBeGreaterThan(0);
    expect(changed).toBeLessThanOrEqual(childBytes + 4 * CLUSTER);
    expect(rig.tools.calls.find((call) => call[1] === 'commit')).toEqual(expect.arrayContaining(['-r', '1000000000']));

    // The same wish again, as a manager would ask that never heard the answer.
    expect(await rig.end(rig.request())).toMatchObject({ state: 'Succeeded' });
    await demandCompacted(chain);
    // And the chain goes on: the next oldest.
    const [, , third] = chain.backups;
    const next = await rig.end(rig.request({ absorbedBackupId: chain.backups[1] ?? '', childBackupId: third ?? '' }));
    expect(next).toMatchObject({ state: 'Succeeded' });
    await chain.demandContent(2);
    await chain.demandWhole(2);
    expect(await readdir(join(chain.root, 'backups', chain.vmUuid))).toEqual([third]);
  });

  it('ends as after wherever the agent dies, and every living restore point is right at that instant', async () => {
    let died = 0;
    for (let dieAt = 0; ; dieAt += 1) {
      const { folder, chain } = await fresh();
      // What a line says is done, and the line is lost: the next life does it again over what is there.
      const journals = new DyingJournalStore(join(folder, 'state'), dieAt, false, (entry) => confirms(entry));
      const rig = await CompactionRig.start(folder, chain, { journals });
      const request = rig.request();
      await rig.runner.accept('CompactChain', request);
      const { operationId } = request.header;
      const survived = await Promise.race([journals.died.then(() => false), rig.finished(operationId).then(() => true)]);
      if (survived) break;
      died += 1;
      await demandLiving(chain);
      for (const index of [1, 2]) {
        const read = await readBackup(rig.ports, chain.root, chain.vmUuid, chain.backups[index] ?? '');
        for (const [key, files] of read.files) {
          for (const file of files) {
            if (file.digest !== undefined)
              expect(`${key} ${await rig.ports.files.digest(file.path)}`).toBe(`${key} ${file.digest}`);
          }
        }
      }
      const next = await CompactionRig.start(folder, chain);
      expect(await next.finished(operationId)).toMatchObject({ state: 'Succeeded' });
      await demandCompacted(chain);
      await rm(folder, { recursive: true, force: true });
    }
    // intent, absorb, the point of no return, three steps for each of two volumes, publish, discard, look.
    expect(died).toBe(12);
  }, 600_000);

  it('makes a commit again that was killed, however often', async () => {
    const { folder, chain } = await fresh();
    let looks = 0;
    const look = async (): Promise<void> => {
      looks += 1;
      await demandLiving(chain);
    };
    const rig = await CompactionRig.start(folder, chain, { killCommits: { kills: 6, look } });
    expect(await rig.end(rig.request({ bytesPerSecond: 4_000_000n }))).toMatchObject({ state: 'Succeeded' });
    expect(looks).toBe(6);
    await demandCompacted(chain);
  });

  it('is finished by another operation, and the storage can be restored from in the middle without Holdfast', async () => {
    const { folder, chain } = await fresh();
    // Dead when the first volume is done and the second is not.
    const journals = new DyingJournalStore(join(folder, 'state'), 4, true, (entry) => confirms(entry));
    const first = await CompactionRig.start(folder, chain, { journals });
    await first.runner.accept('CompactChain', first.request());
    await journals.died;
    expect((await chain.manifest(1)).compaction).toMatchObject({ role: 'absorbs', backupId: chain.backups[0] });
    expect((await chain.manifest(0)).compaction).toMatchObject({ role: 'absorbed', backupId: chain.backups[1] });
    expect(existsSync(chain.file(0, 'vda'))).toBe(false);
    expect(existsSync(chain.file(0, 'vdb'))).toBe(true);

    const script = resolve('deploy/holdfast-restore.sh');
    for (const index of [1, 2]) {
      const out = join(folder, `restored ${index}`);
      await run(['sh', script, chain.root, chain.vmUuid, chain.backups[index] ?? '', out]);
      for (const target of ['vda', 'vdb', 'vdd']) {
        expect(await imagesEqual(join(out, `${target}.qcow2`), 'qcow2', chain.file(index, target), 'qcow2')).toBe(true);
      }
    }
    const refused = await tryRun(['sh', script, chain.root, chain.vmUuid, chain.backups[0] ?? '', join(folder, 'no')]);
    expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('was deleted') });
    const { files, root, vmUuid } = { files: first.ports, root: chain.root, vmUuid: chain.vmUuid };
    await expect(readBackup(files, root, vmUuid, chain.backups[0] ?? '')).rejects.toMatchObject({ code: 'WRONG_STATE' });

    const second = await CompactionRig.start(join(folder, 'state of another host'), chain);
    expect(await second.end(second.request())).toMatchObject({ state: 'Succeeded' });
    await demandCompacted(chain);
  });
});

describe('a compaction that may not begin', () => {
  async function refusal(chain: ChainOnStorage, folder: string, wish: Parameters<CompactionRig['request']>[0] = {}) {
    const before = await everything(chain);
    const rig = await CompactionRig.start(folder, chain);
    const view = await rig.end(rig.request(wish));
    expect(view).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore' });
    expect(await everything(chain)).toBe(before);
    return view.error;
  }

  it('is refused over damaged files, and nothing is touched', async () => {
    for (const index of [0, 1]) {
      const { folder, chain } = await fresh();
      const handle = await open(chain.file(index, 'vdb'), 'r+');
      await handle.write(Buffer.from([0xaa]), 0, 1, (await handle.stat()).size - 4096);
      await handle.close();
      expect(await refusal(chain, folder)).toMatchObject({ code: 'BACKUP_DAMAGED', fields: { backupId: chain.backups[index] } });
    }
  });

  it('is refused when the two are not the oldest and its only child', async () => {
    const { folder, chain } = await fresh();
    const [oldest = '', child = '', third = ''] = chain.backups;
    expect(await refusal(chain, folder, { absorbedBackupId: child, childBackupId: third })).toMatchObject({
      code: 'WRONG_STATE',
    });
    expect(await refusal(chain, folder, { absorbedBackupId: oldest, childBackupId: third })).toMatchObject({
      code: 'WRONG_STATE',
    });
    expect(await refusal(chain, folder, { absorbedBackupId: child, childBackupId: oldest })).toMatchObject({
      code: 'WRONG_STATE',
    });
    expect(await refusal(chain, folder, { childBackupId: randomUUID() })).toMatchObject({ code: 'BACKUP_DAMAGED' });
    const branch = await chain.manifest(2);
    await chain.writeManifest(2, { ...branch, parentBackupId: oldest });
    expect(await refusal(chain, folder)).toMatchObject({ code: 'WRONG_STATE', message: expect.stringContaining(third) });
  });

  it('is refused while anything reads the chain', async () => {
    const { folder, chain } = await fresh();
    const reader = run([
      'sh',
      '-c',
      'qemu-io -r -f qcow2 -c "sleep 600000" "$0" & echo $! > "$1"; wait $!',
      chain.file(2, 'vda'),
      join(folder, 'pid'),
    ]).catch(() => undefined);
    const locked = async () => (await tryRun(['qemu-io', '-c', 'quit', '-f', 'raw', chain.file(0, 'vda')])).exitCode !== 0;
    while (!(await locked())) await new Promise((done) => setTimeout(done, 20));
    expect(await refusal(chain, folder)).toMatchObject({ code: 'IMAGE_LOCKED' });
    process.kill(Number((await readFile(join(folder, 'pid'), 'utf8')).trim()));
    await reader;
    const rig = await CompactionRig.start(join(folder, 'later'), chain);
    expect(await rig.end(rig.request())).toMatchObject({ state: 'Succeeded' });
  });

  it('takes its marks back when it is cancelled between them and the point of no return', async () => {
    const { folder, chain } = await fresh();
    const before = await everything(chain);
    const rig = await CompactionRig.start(folder, chain);
    const request = rig.request();
    let cancelled = false;
    await rig.runner.accept('CompactChain', request);
    const end = rig.runner.watch(request.header.operationId, (view) => {
      if (cancelled || !view.steps.some(({ name, state }) => name === 'absorb' && state === 'Running')) return;
      cancelled = true;
      void rig.runner.cancel(request.header.operationId);
    });
    expect(await rig.finished(request.header.operationId)).toMatchObject({ state: 'Cancelled', vmOutcome: 'AsBefore' });
    end();
    expect(await everything(chain)).toBe(before);
  });
});
