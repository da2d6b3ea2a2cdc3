/**
 * Chains of backups on a storage of files, made with qemu-img alone: what they hold is kept as raw copies beside them.
 * Owns their layout and content; knows nothing of the product's commands.
 */
import { randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { backupFolder } from '@holdfast/shared/manifest/paths.js';
import { run, tryRun } from '../testbed/command.js';
import { copyFlat, imagesEqual } from '../testbed/images.js';

/** What is written into one volume of one backup, as words of qemu-io. `sizeMiB` larger than before: the volume has grown. */
export interface VolumeWrites {
  readonly sizeMiB: number;
  readonly writes: readonly string[];
  /** Copied in full although the backup has a parent. */
  readonly full?: boolean;
}

export class ChainOnStorage {
  /** Oldest first. */
  readonly backups: string[] = [];

  private constructor(
    readonly root: string,
    readonly vmUuid: string,
    readonly storageId: string,
    readonly keys: ReadonlyMap<string, string>,
    private readonly references: string,
  ) {}

  /** Each element of `contents` is one backup: target → what is written. A target that is not named is not in the backup. */
  static async create(dir: string, contents: readonly Readonly<Record<string, VolumeWrites>>[]): Promise<ChainOnStorage> {
    const targets = [...new Set(contents.flatMap((content) => Object.keys(content)))];
    const keys = new Map(targets.map((target) => [target, randomUUID()]));
    const chain = new ChainOnStorage(join(dir, 'store'), randomUUID(), randomUUID(), keys, join(dir, 'references'));
    await mkdir(chain.references, { recursive: true });
    await mkdir(chain.root, { recursive: true });
    const identity = { product: 'holdfast', formatVersion: 1, storageId: chain.storageId, createdAt: '2026-01-01T00:00:00.000Z' };
    await writeFile(join(chain.root, 'holdfast.json'), JSON.stringify(identity));
    for (const content of contents) await chain.add(content);
    return chain;
  }

  /** The same chain and the same references, to be worked on elsewhere. */
  async copyTo(dir: string): Promise<ChainOnStorage> {
    await cp(this.root, join(dir, 'store'), { recursive: true });
    const copy = new ChainOnStorage(join(dir, 'store'), this.vmUuid, this.storageId, this.keys, this.references);
    copy.backups.push(...this.backups);
    return copy;
  }

  folder(index: number): string {
    return join(this.root, backupFolder(this.vmUuid, this.backups[index] ?? ''));
  }

  file(index: number, target: string): string {
    return join(this.folder(index), `${this.keys.get(target)}.qcow2`);
  }

  async manifest(index: number): Promise<Manifest> {
    return JSON.parse(await readFile(join(this.folder(index), 'manifest.json'), 'utf8')) as Manifest;
  }

  async writeManifest(index: number, manifest: object): Promise<void> {
    await writeFile(join(this.folder(index), 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  }

  /** Throws with the volumes of this backup that do not show what they showed when they were made. */
  async demandContent(index: number): Promise<void> {
    for (const target of this.keys.keys()) {
      const reference = this.reference(index, target);
      if ((await stat(reference).catch(() => undefined)) === undefined) continue;
      const file = this.file(index, target);
      if (await imagesEqual(file, 'qcow2', reference, 'raw')) continue;
      throw new Error(`${target} of backup ${index} is not what it was`);
    }
  }

  /** Throws when manifest and files of a backup differ, or a file is not whole. */
  async demandWhole(index: number): Promise<void> {
    const manifest = await this.manifest(index);
    const expected = ['domain.xml', 'manifest.json', ...manifest.volumes.map(({ file }) => file)].sort();
    const found = (await readdir(this.folder(index))).sort();
    if (found.join() !== expected.join())
      throw new Error(`backup ${index} holds ${found.join()}, its manifest says ${expected.join()}`);
    for (const volume of manifest.volumes) {
      const file = join(this.folder(index), volume.file);
      if ((await digestOf(file)) !== volume.digest) throw new Error(`the digest of ${volume.device} of backup ${index} is wrong`);
      if (String((await stat(file)).size) !== volume.sizeBytes)
        throw new Error(`the size of ${volume.device} of backup ${index} is wrong`);
      const info = JSON.parse(await run(['qemu-img', 'info', '-f', 'qcow2', '--output=json', file])) as Record<string, unknown>;
      if (info['backing-filename'] !== volume.parentFile)
        throw new Error(`${volume.device} of backup ${index} is based on another file`);
      const check = await tryRun(['qemu-img', 'check', '-f', 'qcow2', file]);
      if (check.exitCode !== 0) throw new Error(`${volume.device} of backup ${index}: ${check.stdout}${check.stderr}`);
    }
  }

  private reference(index: number, target: string): string {
    return join(this.references, `${this.backups[index]}.${target}.raw`);
  }

  private async add(content: Readonly<Record<string, VolumeWrites>>): Promise<void> {
    const id = randomUUID();
    const parent = this.backups.at(-1);
    const before = parent === undefined ? undefined : await this.manifest(this.backups.length - 1);
    this.backups.push(id);
    const index = this.backups.length - 1;
    await mkdir(this.folder(index), { recursive: true });
    await writeFile(join(this.folder(index), 'domain.xml'), '<domain/>\n');
    const volumes: Manifest['volumes'] = [];
    for (const [target, { sizeMiB, writes, full }] of Object.entries(content)) {
      const key = this.keys.get(target) ?? '';
      const thin = full !== true && before?.volumes.some((volume) => volume.key === key) === true;
      const parentFile = thin ? `../${parent}/${key}.qcow2` : undefined;
      const file = this.file(index, target);
      const backing = parentFile === undefined ? [] : ['-b', parentFile, '-F', 'qcow2'];
      await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, file, `${sizeMiB}M`]);
      const commands = writes.flatMap((words) => ['-c', words]);
      await run(['qemu-io', '-f', 'qcow2', ...commands, file]);
      await copyFlat(file, 'qcow2', this.reference(index, target));
      volumes.push({
        key,
        device: target,
        sizeBytes: String((await stat(file)).size),
        virtualSizeBytes: String(sizeMiB * 1024 * 1024),
        file: `${key}.qcow2`,
        ...(parentFile === undefined ? {} : { parentFile }),
        format: 'qcow2',
        sourceFormat: 'qcow2',
        digest: await digestOf(file),
      });
    }
    const manifest: Manifest = {
      schemaVersion: 1,
      backupId: id,
      backupName: `backup ${index}`,
      vm: { id: this.vmUuid, name: 'vm' },
      storageId: this.storageId,
      frozenAt: '2026-01-01T00:00:00.000Z',
      publishedAt: '2026-01-01T00:00:00.000Z',
      type: parent === undefined ? 'FULL' : 'INCREMENTAL',
      ...(parent === undefined ? {} : { parentBackupId: parent }),
      endOfChain: false,
      isolated: false,
      quiesced: false,
      volumes,
      domainXmlFile: 'domain.xml',
      vmSettings: {},
      notes: {},
      writtenBy: { program: 'holdfast-agent', version: 'test', host: 'test', operationId: randomUUID() },
    };
    await this.writeManifest(index, manifest);
  }
}

export async function digestOf(file: string): Promise<string> {
  return `blake3:${(await run(['b3sum', '--no-names', file])).trim()}`;
}
