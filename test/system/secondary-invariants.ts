/**
 * What must hold on a secondary storage at rest, checked on content and without the product's code:
 * I2 each file with its chain equals the reference, I4 every file belongs to one published manifest, digests, relative
 * backing names, whole images. Returns violations in words; changes nothing.
 */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { run, tryRun } from '../testbed/command.js';
import { imagesEqual } from '../testbed/images.js';
import type { References } from './references.js';
import type { WholeFiles } from './whole-files.js';

export interface SecondaryScope {
  /** Root of the storage. */
  readonly root: string;
  /** What the manager calls published there. */
  readonly published: readonly Backup[];
  readonly references: References;
  readonly whole: WholeFiles;
}

export async function secondaryViolations(scope: SecondaryScope): Promise<string[]> {
  const found: string[] = [];
  const known = new Map<string, Backup>(scope.published.map((backup) => [backup.id, backup]));
  for (const name of await readdir(scope.root)) {
    // lost+found belongs to the file system, .test-filler to the test.
    if (!['holdfast.json', 'backups', 'lost+found', '.test-filler'].includes(name))
      found.push(`I4: ${name} at the root of the storage belongs to nobody`);
  }
  const backupsDir = join(scope.root, 'backups');
  for (const vmId of await readdir(backupsDir).catch(() => [])) {
    for (const backupId of await readdir(join(backupsDir, vmId))) {
      const backup = known.get(backupId);
      if (backup === undefined) {
        found.push(`I4: folder backups/${vmId}/${backupId} belongs to no published backup`);
        continue;
      }
      known.delete(backupId);
      found.push(...(await folderViolations(join(backupsDir, vmId, backupId), backup, scope)));
    }
  }
  for (const missing of known.values()) found.push(`I5: backup ${missing.name} (${missing.id}) has no folder on its storage`);
  return found;
}

async function folderViolations(
  folder: string,
  backup: Backup,
  { references, whole }: Pick<SecondaryScope, 'references' | 'whole'>,
): Promise<string[]> {
  const found: string[] = [];
  const say = (what: string): unknown => found.push(`backup ${backup.name} (${backup.id}): ${what}`);
  let manifest: Manifest;
  try {
    manifest = manifestSchema.parse(JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')));
  } catch (error) {
    say(`I4: its manifest cannot be read: ${String(error)}`);
    return found;
  }
  const expected = [
    'manifest.json',
    manifest.domainXmlFile,
    ...(manifest.nvramFile === undefined ? [] : [manifest.nvramFile]),
    ...manifest.volumes.map(({ file }) => file),
  ];
  const present = await readdir(folder);
  for (const name of present) if (!expected.includes(name)) say(`I4: ${name} is in no manifest`);
  for (const name of expected) if (!present.includes(name)) say(`I5: ${name} is missing`);
  const facts: readonly (readonly [string, unknown, unknown])[] = [
    ['id', manifest.backupId, backup.id],
    ['VM', manifest.vm.id, backup.vmId],
    ['type', manifest.type, backup.type],
    ['parent', manifest.parentBackupId, backup.parentId],
    ['isolated', manifest.isolated, backup.isolated],
    // A chain may be ended after its head was published.
    ['end of chain', manifest.endOfChain, manifest.endOfChain && backup.endOfChain],
    [
      'volumes',
      manifest.volumes
        .map(({ key }) => key)
        .sort()
        .join(),
      backup.volumes
        .map(({ key }) => String(key))
        .sort()
        .join(),
    ],
  ];
  for (const [what, here, there] of facts) {
    if (here !== there) say(`manifest and manager differ on the ${what}: ${String(here)}, ${String(there)}`);
  }
  for (const volume of manifest.volumes) {
    if (!present.includes(volume.file)) continue;
    const file = join(folder, volume.file);
    const broken = await whole.look(file, JSON.stringify(volume), () => imageViolations(file, volume));
    const differing = await contentViolations(file, references.of(backup.id)?.get(volume.device));
    for (const what of [...broken, ...differing]) say(`${volume.device}: ${what}`);
  }
  return found;
}

async function imageViolations(file: string, volume: Manifest['volumes'][number]): Promise<string[]> {
  const found: string[] = [];
  const digest = `blake3:${(await run(['b3sum', '--no-names', file], { timeoutMs: 600_000 })).trim()}`;
  if (digest !== volume.digest) found.push(`I4: its digest is ${digest}, the manifest says ${volume.digest}`);
  const info = JSON.parse(await run(['qemu-img', 'info', '-f', 'qcow2', '--output=json', file])) as Record<string, unknown>;
  const backing = info['backing-filename'] as string | undefined;
  if (backing !== volume.parentFile)
    found.push(`I4: its backing name is ${backing ?? 'absent'}, the manifest says ${volume.parentFile ?? 'absent'}`);
  if (backing !== undefined && !/^\.\.\/[0-9a-f-]{36}\/[0-9a-f-]{36}\.qcow2$/.test(backing))
    found.push(`I4: its backing name ${backing} is not relative`);
  if (backing !== undefined && info['backing-filename-format'] !== 'qcow2')
    found.push('I4: the format of its backing file is not said');
  if (String(info['virtual-size']) !== volume.virtualSizeBytes) found.push('I4: its virtual size is not what the manifest says');
  const check = await tryRun(['qemu-img', 'check', '-f', 'qcow2', file], { timeoutMs: 600_000 });
  if (check.exitCode !== 0) found.push(`I4: qemu-img check says ${check.stdout.trim()} ${check.stderr.trim()}`);
  return found;
}

/** With all that lies below the file. */
async function contentViolations(file: string, copy: string | undefined): Promise<string[]> {
  try {
    if (copy === undefined || (await imagesEqual(file, 'qcow2', copy, 'raw'))) return [];
    return ['I2: its content is not what the disk held at the freeze'];
  } catch (error) {
    return [`I2: its content cannot be compared: ${String(error)}`];
  }
}
