/** deploy/holdfast-restore.sh against headers that lead elsewhere than its manifests. Needs qemu-img, no VM. */
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ChainOnStorage } from '../agent/chain-on-storage.js';
import { programs } from '../system/repository.js';
import { run, tryRun } from '../testbed/command.js';
import { imagesEqual } from '../testbed/images.js';
import { workDir } from '../testbed/work-dir.js';

let dir: string;
let chain: ChainOnStorage;

beforeAll(async () => {
  await mkdir(workDir(), { recursive: true });
  dir = await mkdtemp(join(workDir(), 'restore-script-'));
  const content = (pattern: number) => ({ vda: { sizeMiB: 4, writes: [`write -P ${pattern} ${pattern}M 64k`] } });
  chain = await ChainOnStorage.create(dir, [content(1), content(2)]);
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Restores the newer backup, whatever the digests say. */
const restore = (destination: string) =>
  tryRun(['sh', programs.restoreScript, chain.root, chain.folder(1), destination], { env: { ACCEPT_DAMAGED: '1' } });

it('brings a backup back, and refuses one whose header names another file than its manifest', async () => {
  const restored = join(dir, 'restored');
  expect(await restore(restored)).toMatchObject({ exitCode: 0 });
  expect(await imagesEqual(join(restored, 'vda.qcow2'), 'qcow2', chain.file(1, 'vda'), 'qcow2')).toBe(true);

  const [file, parent] = [chain.file(1, 'vda'), chain.file(0, 'vda')];
  const elsewhere = join(dir, 'elsewhere.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', elsewhere, '4M']);
  // Begins as the right name does, and goes on after a blank.
  await mkdir(`${parent} and more`);
  const right = `../${basename(dirname(parent))}/${basename(parent)}`;
  for (const name of [elsewhere, `${right} and more/../../../../../elsewhere.qcow2`, `${right}"`]) {
    await run(['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', name, '-F', 'qcow2', file]);
    const refused = join(dir, 'refused');
    const { exitCode, stderr } = await restore(refused);
    expect([name, exitCode, stderr]).toEqual([name, 1, expect.stringContaining('names the backing file')]);
    expect(await readdir(refused)).toEqual([]);
  }
});
