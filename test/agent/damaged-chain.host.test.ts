/** Files of a chain that are gone or changed on the storage: what is read from them, or put on them, is refused before anything is touched. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { copyFile, readdir, rename, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { RestoreBackupRequest } from '../../apps/agent/src/commands/requests.js';
import type { OperationView } from '../../apps/agent/src/operations/operation-view.js';
import { run } from '../testbed/command.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { CommandRig, type TakeBackupResult } from './command-rig.js';

let host: TestHost;
let vm: TestVm;
let rig: CommandRig;
let elsewhere: string;
const key = randomUUID();
const other = randomUUID();
const keys = new Map([
  ['vda', key],
  ['vdb', other],
]);
let full: { id: string; result: TakeBackupResult };
let head: { id: string; result: TakeBackupResult };

async function backup(parent?: { id: string; result: TakeBackupResult }): Promise<{ id: string; result: TakeBackupResult }> {
  const request = await rig.backupRequest(keys, parent);
  return { id: request.backupId, result: await rig.run<TakeBackupResult>('TakeBackup', request) };
}

beforeAll(async () => {
  host = await TestHost.create({ name: 'damaged-chain' });
  vm = await TestVm.define(host, {
    name: 'kept',
    disks: [
      { target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } },
      { target: 'vdb', sizeMiB: 32, content: { label: 'vdb', files: {} } },
    ],
  });
  await vm.start();
  rig = await CommandRig.create(host, vm);
  elsewhere = join(host.dir, 'of another owner.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', elsewhere, '64M']);
  full = await backup();
  await vm.fillRandom('/mnt/vda/since', 1, 'since');
  head = await backup(full);
});

afterAll(async () => {
  await host?.destroy();
});

/** Changes the header alone, as no tool of Holdfast would. `name` empty: it names nothing. */
async function nameBacking(file: string, name: string): Promise<void> {
  const format = name === '' ? [] : ['-F', 'qcow2'];
  await run(['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-b', name, ...format, file]);
}

/** Does something to a file of the storage, lets `act` meet it, and brings the file back. */
async function whileDamaged<T>(file: string, damage: (file: string) => Promise<void>, act: () => Promise<T>): Promise<T> {
  const kept = join(host.dir, 'kept.qcow2');
  await copyFile(file, kept);
  try {
    await damage(file);
    return await act();
  } finally {
    await rename(kept, file);
  }
}

const steps = (view: OperationView): string[] => view.steps.map(({ name }) => name);
const layers = async (): Promise<string[]> =>
  [await vm.chain('vda'), await vm.chain('vdb')].flat().map(({ filename }) => filename);

describe('a restore', () => {
  beforeEach(async () => {
    if ((await vm.domstate()) !== 'shut off') await vm.shutdown();
  });

  it.each([
    ['another image', 'the backup', () => elsewhere],
    ['nothing', 'the backup', () => ''],
    ['the volume beside it', 'the full copy below', () => `${other}.qcow2`],
  ])('is refused when %s is named by the header of %s, also where damage is accepted', async (_what, whose, name) => {
    const [file, expected] =
      whose === 'the backup' ? [rig.file(head.id, key), `../${full.id}/${key}.qcow2`] : [rig.file(full.id, key), 'none'];
    const before = await layers();
    const wish = await Promise.all(
      [...keys].map(async ([target, volume]) => ({
        ...{ key: volume, target, currentPath: await vm.currentFile(target) },
        newPath: join(vm.dir, `${target}.restored.qcow2`),
      })),
    );
    const request: RestoreBackupRequest = { ...rig.restoreRequest(head.id, wish), acceptDamaged: true };
    const end = await whileDamaged(
      file,
      (damaged) => nameBacking(damaged, name()),
      () => rig.end('RestoreBackup', request),
    );
    const error = { code: 'BACKUP_DAMAGED', fields: { path: file } };
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error });
    const found = JSON.stringify(name() === '' ? 'no file' : name());
    const words = `${file} names ${found} as its backing file, its manifest says ${JSON.stringify(expected)}`;
    expect(end.error?.message).toContain(words);
    // Refused before anything was copied.
    expect(steps(end)).not.toContain('restore');
    expect(await layers()).toEqual(before);
    expect((await readdir(vm.dir)).filter((entry) => entry.includes('restored'))).toEqual([]);
  });
});

describe('an incremental backup', () => {
  beforeEach(async () => {
    if ((await vm.domstate()) !== 'running') await vm.start();
  });

  it.each([
    ['its parent is gone', () => head, (file: string) => rm(file), 'is missing'],
    ['what its parent needs is gone', () => full, (file: string) => rm(file), 'is missing'],
    ['its parent was cut short', () => head, (file: string) => truncate(file, 65_536), 'has 65536 bytes'],
    [
      'its parent is no image any more',
      () => head,
      (file: string) => run(['dd', 'if=/dev/zero', `of=${file}`, 'bs=1', 'count=4', 'conv=notrunc']),
      'its digest is',
    ],
    ['its parent names another image', () => head, (file: string) => nameBacking(file, elsewhere), 'as its backing file'],
  ])('is refused before the guest is frozen when %s', async (_what, whose, damage, words) => {
    const file = rig.file(whose().id, key);
    const before = await layers();
    const request = { ...(await rig.backupRequest(keys, head)), quiesce: 'require' as const };
    const end = await whileDamaged(
      file,
      async (damaged) => void (await damage(damaged)),
      () => rig.end('TakeBackup', request),
    );
    const error = { code: 'BACKUP_DAMAGED', fields: { path: file } };
    expect(end).toMatchObject({ state: 'Failed', vmOutcome: 'AsBefore', error });
    expect(end.error?.message).toContain(file);
    expect(end.error?.message).toContain(words);
    expect(end.error?.message).toContain('the next one is full');
    expect(steps(end).filter((name) => ['freeze', 'snapshot', 'copy'].includes(name))).toEqual([]);
    expect(await layers()).toEqual(before);
    const folder = join(rig.storage.source, 'backups', vm.uuid);
    expect((await readdir(folder)).sort()).toEqual([full.id, head.id].sort());
  });

  it('goes on when the file is back', async () => {
    await backup(head);
    expect(await vm.chain('vda')).toHaveLength(2);
  });
});
