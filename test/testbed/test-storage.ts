/**
 * Storages for backups and disks that can be full, read-only, gone, slow or hanging. Owns its directory, mount, loop device
 * and daemon; all of them can be found again and removed after a crash of the test (cleanup.ts).
 */
import { mkdir, open, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removePiece } from './cleanup.js';
import { run, tryRun } from './command.js';
import { signalDevice, startSlowDevice, throttleDevice } from './slow-device.js';
import { livingOwner, markOwner, prepareRunRoot, runPath } from './work-dir.js';

/**
 * directory: a plain folder. filesystem: an ext4 of its own on a loop device. slow: the same on a device that can be
 * throttled and stopped.
 */
export type StorageKind = 'directory' | 'filesystem' | 'slow';

const fillerName = '.test-filler';
const MIB = 1024 * 1024;
/** The end of a file system's room is taken by writing: what an allocation's own bookkeeping needs is not known before. */
const FILLED_BY_WRITING = 8 * MIB;

export class TestStorage {
  private mountCount = 0;

  private constructor(
    readonly name: string,
    readonly kind: StorageKind,
    /** The storage's folder: what the product is told. The same path on every test host, also on those running already. */
    readonly path: string,
    private readonly dir: string,
    private device: string | undefined,
  ) {}

  /** Creates a storage; leftovers of an interrupted run with the same name are removed first. `sizeMiB` default 256. */
  static async create(options: { name: string; kind: StorageKind; sizeMiB?: number }): Promise<TestStorage> {
    await prepareRunRoot();
    const dir = runPath(options.name);
    const owner = await livingOwner(dir);
    if (owner !== undefined && owner !== process.pid) {
      throw new Error(`test storage ${options.name} is in use by process ${owner}; choose another name`);
    }
    await removePiece(dir);
    const path = join(dir, 'storage');
    await mkdir(path, { recursive: true, mode: 0o755 });
    await markOwner(dir);
    const device = options.kind === 'directory' ? undefined : await makeDevice(dir, options.kind, options.sizeMiB ?? 256);
    const storage = new TestStorage(options.name, options.kind, path, dir, device);
    if (device !== undefined) await storage.mount();
    return storage;
  }

  /** Fills the file system until nothing is free, or no more than about `leftMiB`. */
  async fill(leftMiB = 0): Promise<void> {
    this.needDevice();
    const path = join(this.path, fillerName);
    const room = (await this.freeBytes()) - Math.max(FILLED_BY_WRITING, leftMiB * MIB);
    // Allocated and not written, which takes seconds on a slow device. What somebody else is faster with is seen below.
    if (room > 0) await tryRun(['fallocate', '--length', String(room), path]);
    if (leftMiB > 0) return;
    const filler = await open(path, 'a');
    try {
      const zeros = Buffer.alloc(MIB);
      for (;;) {
        const left = Math.min(await this.freeBytes(), zeros.length);
        if (left === 0) break;
        await filler.write(zeros.subarray(0, left));
        await filler.sync();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      await filler.close();
    }
  }

  /** Takes back what `fill` took. */
  async unfill(): Promise<void> {
    await rm(join(this.path, fillerName), { force: true });
  }

  /** Makes the whole file system read-only, on every host. Fails while a file on it is open for writing. */
  async remountReadOnly(): Promise<void> {
    this.needDevice();
    await run(['mount', '-o', 'remount,ro', this.path]);
  }

  async remountReadWrite(): Promise<void> {
    this.needDevice();
    await run(['mount', '-o', 'remount,rw', this.path]);
  }

  /** Takes the mount away under everybody's feet: the folder is an empty one; files that are open stay usable. */
  async vanish(): Promise<void> {
    this.needDevice();
    await run(['umount', '-l', this.path]);
  }

  /** Mounts a vanished storage again. */
  async reappear(): Promise<void> {
    await this.mount();
  }

  /**
   * Stops the device: whatever is not in memory hangs in uninterruptible sleep until `resume`. Do not call the
   * machine-wide `sync` meanwhile.
   */
  async hang(): Promise<void> {
    this.needSlow();
    // A freeze empties the journal as well: what stands in that is not dropped from memory.
    await run(['fsfreeze', '--freeze', this.path]);
    await run(['fsfreeze', '--unfreeze', this.path]);
    await writeFile('/proc/sys/vm/drop_caches', '3');
    if (!(await signalDevice(this.dir, 'SIGSTOP'))) throw new Error(`the daemon of storage ${this.name} is gone`);
  }

  async resume(): Promise<void> {
    this.needSlow();
    if (!(await signalDevice(this.dir, 'SIGCONT'))) throw new Error(`the daemon of storage ${this.name} is gone`);
  }

  /** Limits the device to so many bytes per second; 0 takes the limit away. Data in memory is not slowed. */
  async throttle(bytesPerSecond: number): Promise<void> {
    this.needSlow();
    await throttleDevice(this.dir, bytesPerSecond);
  }

  /** Kills the device for good: from now on its file system answers with input/output errors. */
  async breakDevice(): Promise<void> {
    this.needSlow();
    await signalDevice(this.dir, 'SIGKILL');
  }

  /**
   * A power loss of the storage alone: what was not flushed to its device is lost; then it is mounted again from what the
   * device holds. Afterwards it cannot hang or be throttled any more.
   */
  async losePower(): Promise<void> {
    await this.breakDevice();
    const old = this.needDevice();
    await run(['umount', '-l', this.path]);
    await tryRun(['losetup', '-d', old]);
    this.device = (await run(['losetup', '--find', '--show', join(this.dir, 'disk.raw')])).trim();
    await this.mount();
  }

  /** Removes the storage with all it holds. */
  async destroy(): Promise<void> {
    await removePiece(this.dir);
  }

  /** What mount(8) takes; mounted elsewhere as well, both mounts show one file system. */
  get blockDevice(): string {
    return this.needDevice();
  }

  /** How often its file system was mounted. */
  get mounts(): number {
    return this.mountCount;
  }

  private async mount(): Promise<void> {
    this.mountCount += 1;
    await run(['mount', '-t', 'ext4', this.needDevice(), this.path]);
  }

  private async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return bavail * bsize;
  }

  private needDevice(): string {
    if (this.device === undefined) throw new Error(`storage ${this.name} is a plain directory: it has no device`);
    return this.device;
  }

  private needSlow(): void {
    if (this.kind !== 'slow') throw new Error(`storage ${this.name} cannot do that: create it with kind "slow"`);
  }
}

async function makeDevice(dir: string, kind: 'filesystem' | 'slow', sizeMiB: number): Promise<string> {
  let file = join(dir, 'disk.raw');
  if (kind === 'slow') file = await startSlowDevice(dir, sizeMiB);
  else await run(['truncate', '-s', `${sizeMiB}M`, file]);
  const device = (await run(['losetup', '--find', '--show', file])).trim();
  // No blocks reserved for root: full means full for the agent too.
  await run(['mkfs.ext4', '-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', device]);
  return device;
}
