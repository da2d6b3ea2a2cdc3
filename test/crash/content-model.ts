/**
 * What a crash-tested VM must contain, known without asking the product. Disk vdb carries no file system: the guest writes
 * known bytes straight to the device and the same bytes go into a raw file here, so that every disk, chain and backup can be
 * compared byte by byte. Disk vda is an ext4 with files whose digests are kept.
 */
import { copyFile, mkdir, open, rm } from 'node:fs/promises';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { digestOf, fillScript, knownBytes } from '../testbed/content.js';
import { ext4Digests } from '../testbed/ext4-files.js';
import type { TestVm } from '../testbed/test-vm.js';

const MOUNT = '/mnt/vda';
const CHUNK_BYTES = 256 * 1024;
const CHUNKS_PER_ROUND = 3;

export class ContentModel {
  private readonly current: string;
  /** Path in the guest → SHA-256. */
  private files = new Map<string, string>();
  private round = 0;

  private constructor(
    private readonly dir: string,
    private readonly deviceBytes: number,
  ) {
    this.current = join(dir, 'vdb.raw');
  }

  /** A model of an empty device of that size. */
  static async create(dir: string, deviceMiB: number): Promise<ContentModel> {
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true });
    const model = new ContentModel(dir, deviceMiB * 1024 * 1024);
    const file = await open(model.current, 'w');
    await file.truncate(model.deviceBytes);
    await file.close();
    return model;
  }

  /** The raw file that equals vdb now. */
  get devicePath(): string {
    return this.current;
  }

  /** Writes new known content in the guest and in the model; durable in the guest when it returns. */
  async mutate(vm: TestVm): Promise<void> {
    this.round += 1;
    const path = `${MOUNT}/file ${this.round % 4}`;
    const seed = `${vm.uuid} ${this.round}`;
    const bytes = await knownBytes(seed, CHUNK_BYTES);
    const places = Array.from({ length: CHUNKS_PER_ROUND }, (_unused, index) => this.placeOf(index));
    const writes = places.map(
      (chunk) => `dd if="$1" of=/dev/vdb bs=${CHUNK_BYTES} seek=${chunk} count=1 conv=notrunc,fsync 2>/dev/null`,
    );
    await vm.mustShell(`set -- '${path}'\n${fillScript(seed, CHUNK_BYTES)}\n${writes.join('\n')}\nsync`);
    this.files.set(path, digestOf(bytes));
    const file = await open(this.current, 'r+');
    for (const chunk of places) await file.write(bytes, 0, bytes.length, chunk * CHUNK_BYTES);
    await file.close();
  }

  /** Keeps the present state under a name. */
  async keep(name: string): Promise<void> {
    await copyFile(this.current, this.pathOf(name), constants.COPYFILE_FICLONE);
    this.kept.set(name, new Map(this.files));
  }

  /** The raw file that equals vdb at the time of `keep(name)`. */
  pathOf(name: string): string {
    return join(this.dir, `${name}.raw`);
  }

  /** The present state becomes the kept one: what a restore does. */
  async returnTo(name: string): Promise<void> {
    await copyFile(this.pathOf(name), this.current, constants.COPYFILE_FICLONE);
    this.files = new Map(this.kept.get(name) ?? []);
  }

  async forget(name: string): Promise<void> {
    this.kept.delete(name);
    await rm(this.pathOf(name), { force: true });
  }

  /** The guest's files as it reads them, against what they must be. Returns what differs. */
  async wrongFiles(vm: TestVm): Promise<string[]> {
    if (this.files.size === 0) return [];
    const found = await vm.digests(...this.files.keys());
    return [...this.files].filter(([path, digest]) => found[path] !== digest).map(([path]) => path);
  }

  /** What a backup of vda must hold, against what was kept under a name. Returns the files that differ. */
  async wrongFilesIn(image: string, name: string): Promise<string[]> {
    const expected = [...(this.kept.get(name) ?? [])].map(([path, digest]) => [path.slice(MOUNT.length), digest] as const);
    const found = await ext4Digests(
      image,
      'qcow2',
      expected.map(([path]) => path),
    );
    return expected.filter(([path, digest]) => found.get(path) !== digest).map(([path]) => path);
  }

  private readonly kept = new Map<string, Map<string, string>>();

  /** Scattered, repeatable places; some chunks are written again and again, others once. */
  private placeOf(index: number): number {
    const chunks = this.deviceBytes / CHUNK_BYTES;
    return index === 0 ? this.round % 3 : (this.round * 7 + index * 13) % chunks;
  }
}
