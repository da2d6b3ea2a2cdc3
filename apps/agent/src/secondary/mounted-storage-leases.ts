/**
 * StorageLeases on this host. `<stateDir>/leases/<storage id>.json` names the storage and the operations that hold it, and is
 * durable before anything is mounted; mounts are at `<mountRoot>/<storage id>`. Owns leases and the proof of identity.
 */
import { mkdir, readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { storageIdentitySchema, type StorageIdentity } from '@holdfast/shared/manifest/manifest.js';
import { BACKUPS_FOLDER, IDENTITY_FILE, PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { Clock } from '../clock/clock.js';
import type { Log } from '../logging/log.js';
import { makeStateDirectory, syncDirectory, writeDurably } from '../operations/durable-file.js';
import { askedAtOnce } from '../process/asked-at-once.js';
import type { KnownRoots } from './known-roots.js';
import type { Mounter } from './mounter.js';
import type { OpenStorage, StorageLeases } from './storage-leases.js';
import type { StorageSpec } from './storage-spec.js';
import type { TargetFiles } from './target-files.js';

interface Lease {
  readonly storage: StorageSpec;
  readonly operations: readonly string[];
}

/** A storage that has less than this is full. */
const FULL_BELOW_BYTES = 1024n * 1024n;

export interface LeasesOptions {
  readonly stateDir: string;
  readonly mountRoot: string;
  readonly files: TargetFiles;
  readonly roots: KnownRoots;
  readonly mounter: Mounter;
  readonly clock: Clock;
  readonly log: Log;
  /** Pause before a busy or hung mount is unmounted again. */
  readonly unmountRetryMs?: number;
}

export class MountedStorageLeases implements StorageLeases {
  private readonly dir: string;
  private readonly leases = new Map<string, Lease>();
  /** Work on one storage's mount happens one after the other. */
  private readonly order = new Map<string, Promise<unknown>>();
  private readonly stop = new AbortController();

  constructor(private readonly options: LeasesOptions) {
    this.dir = join(options.stateDir, 'leases');
  }

  /** At start: keeps the leases of unfinished operations, drops the others, unmounts what no lease names. */
  async recover(unfinishedOperationIds: readonly string[]): Promise<void> {
    await makeStateDirectory(this.dir);
    await mkdir(this.options.mountRoot, { recursive: true });
    for (const file of await readdir(this.dir)) {
      if (!file.endsWith('.json')) {
        await rm(join(this.dir, file), { force: true });
        continue;
      }
      const lease = JSON.parse(await readFile(join(this.dir, file), 'utf8')) as Lease;
      const operations = lease.operations.filter((id) => unfinishedOperationIds.includes(id));
      await this.record({ ...lease, operations });
      if (operations.length > 0) this.options.roots.add(this.rootOf(lease.storage));
    }
    for (const name of await readdir(this.options.mountRoot)) {
      if (!this.leases.has(name)) this.unmountInBackground(name);
    }
  }

  acquire(storage: StorageSpec, operationId: string, access: 'read' | 'write'): Promise<OpenStorage> {
    return this.inOrder(storage.id, async () => {
      const held = this.leases.get(storage.id)?.operations ?? [];
      if (!held.includes(operationId)) await this.record({ storage, operations: [...held, operationId] });
      try {
        const root = await this.open(storage);
        await askedAtOnce([
          this.proveIdentity(storage, root),
          ...(access === 'write' ? [this.proveRoom(storage, root), this.proveWritable(storage, root)] : []),
        ]);
        if (access === 'write') await this.makeBackupsFolder(root);
        return { root };
      } catch (error) {
        // An operation that held it before goes on holding it.
        if (!held.includes(operationId)) await this.drop(storage.id, operationId);
        throw error;
      }
    });
  }

  release(storageId: string, operationId: string): Promise<void> {
    return this.inOrder(storageId, () => this.drop(storageId, operationId));
  }

  /** Every lease of one operation: the safety net behind the commands' own releases. */
  async releaseAll(operationId: string): Promise<void> {
    const held = [...this.leases.values()].filter((lease) => lease.operations.includes(operationId));
    for (const lease of held) await this.release(lease.storage.id, operationId);
  }

  async inspect(
    storage: StorageSpec,
    initialise: boolean,
  ): Promise<{ storageId: string; formatVersion: number; totalBytes: bigint; freeBytes: bigint; writable: boolean }> {
    // A look is a lease as well, under an id of its own, so that nobody unmounts beneath it.
    const visitor = randomUUID();
    return this.inOrder(storage.id, async () => {
      const held = this.leases.get(storage.id)?.operations ?? [];
      await this.record({ storage, operations: [...held, visitor] });
      try {
        const root = await this.open(storage);
        if (initialise) await this.initialise(storage, root);
        const identity = await this.proveIdentity(storage, root);
        const space = await this.options.files.space(root);
        return {
          storageId: identity.storageId,
          formatVersion: identity.formatVersion,
          ...space,
          writable: await this.options.files.isWritable(root),
        };
      } finally {
        await this.drop(storage.id, visitor);
      }
    });
  }

  /** Ends the background work; leases and mounts stay for the next life. */
  close(): void {
    this.stop.abort();
  }

  private rootOf(storage: StorageSpec): string {
    return storage.type === 'dir' ? storage.source : join(this.options.mountRoot, storage.id);
  }

  private async open(storage: StorageSpec): Promise<string> {
    const root = this.rootOf(storage);
    if (storage.type !== 'dir' && !(await this.options.mounter.isMounted(root))) {
      // Only while nothing is mounted there is this our own disk, safe to touch in this process.
      await mkdir(root, { recursive: true });
      await this.options.mounter.mount(storage, root);
    }
    this.options.roots.add(root);
    const facts = await this.options.files.stat(root);
    if (facts?.kind !== 'directory') throw missing(storage, root, 'there is no such directory');
    return root;
  }

  private async proveIdentity(storage: StorageSpec, root: string): Promise<StorageIdentity> {
    const text = await this.options.files.readText(join(root, IDENTITY_FILE));
    if (text === undefined)
      throw missing(storage, root, `it has no ${IDENTITY_FILE}: the wrong place is mounted, or it was never added to Holdfast`);
    const identity = parseIdentity(text);
    if (identity?.storageId === storage.id) return identity;
    throw new HoldfastError(
      'STORAGE_NOT_OURS',
      identity === undefined
        ? `${root}/${IDENTITY_FILE} is not an identity of Holdfast; storage "${storage.name}" is not used until it is put right.`
        : `${root} is another storage (${identity.storageId}) than "${storage.name}" (${storage.id}); check its source ${storage.source}.`,
      { storageId: storage.id, found: identity?.storageId ?? '', path: root },
    );
  }

  private async proveRoom(storage: StorageSpec, root: string): Promise<void> {
    const { freeBytes } = await this.options.files.space(root);
    if (freeBytes < FULL_BELOW_BYTES) {
      throw new HoldfastError('STORAGE_FULL', `Storage "${storage.name}" at ${root} has ${freeBytes} bytes left; make room.`, {
        storageId: storage.id,
        path: root,
      });
    }
  }

  private async proveWritable(storage: StorageSpec, root: string): Promise<void> {
    if (await this.options.files.isWritable(root)) return;
    throw new HoldfastError(
      'STORAGE_READ_ONLY',
      `Storage "${storage.name}" at ${root} cannot be written; mount it writable or repair it.`,
      {
        storageId: storage.id,
        path: root,
      },
    );
  }

  private async initialise(storage: StorageSpec, root: string): Promise<void> {
    const identityFile = join(root, IDENTITY_FILE);
    const names = (await this.options.files.list(root)) ?? [];
    // Sent again after it was done: the identity is proven by the caller.
    if (names.includes(IDENTITY_FILE)) return;
    const foreign = names.filter((name) => name !== 'lost+found' && name !== `${IDENTITY_FILE}${PARTIAL_SUFFIX}`);
    if (foreign.length > 0) {
      throw new HoldfastError(
        'STORAGE_NOT_EMPTY',
        `${root} holds other things (${foreign.slice(0, 3).join(', ')} …); a new storage must be an empty directory.`,
        {
          storageId: storage.id,
          path: root,
        },
      );
    }
    const identity: StorageIdentity = {
      product: 'holdfast',
      formatVersion: 1,
      storageId: storage.id,
      createdAt: new Date(this.options.clock.now()).toISOString(),
    };
    await this.options.files
      .writeText(`${identityFile}${PARTIAL_SUFFIX}`, `${JSON.stringify(identity, undefined, 2)}\n`)
      .catch((cause: unknown) => {
        if (cause instanceof HoldfastError && cause.code === 'STORAGE_HANGING') throw cause;
        throw new HoldfastError(
          'STORAGE_READ_ONLY',
          `Storage "${storage.name}" at ${root} cannot be written.`,
          { storageId: storage.id, path: root },
          { cause },
        );
      });
    await this.options.files.rename(`${identityFile}${PARTIAL_SUFFIX}`, identityFile);
    await this.options.files.sync(root);
  }

  /** Made only here, on a storage that has just been proven: whoever writes a backup finds it, or no storage. */
  private async makeBackupsFolder(root: string): Promise<void> {
    const folder = join(root, BACKUPS_FOLDER);
    if ((await this.options.files.stat(folder)) === undefined) await this.options.files.makeDirectory(folder);
  }

  private async record(lease: Lease): Promise<void> {
    const file = join(this.dir, `${lease.storage.id}.json`);
    if (lease.operations.length > 0) {
      await writeDurably(file, `${JSON.stringify(lease)}\n`);
      this.leases.set(lease.storage.id, lease);
    } else {
      await rm(file, { force: true });
      await syncDirectory(this.dir);
      this.leases.delete(lease.storage.id);
    }
  }

  private async drop(storageId: string, operationId: string): Promise<void> {
    const lease = this.leases.get(storageId);
    if (lease === undefined) return;
    const operations = lease.operations.filter((id) => id !== operationId);
    await this.record({ ...lease, operations });
    if (operations.length > 0) return;
    this.options.roots.remove(this.rootOf(lease.storage));
    if (lease.storage.type !== 'dir' && !(await this.unmount(storageId))) this.unmountInBackground(storageId);
  }

  /** True when nothing is mounted there any more. */
  private async unmount(storageId: string): Promise<boolean> {
    const mountPoint = join(this.options.mountRoot, storageId);
    if (!(await this.options.mounter.unmount(mountPoint))) return false;
    await rmdir(mountPoint).catch(() => undefined);
    return true;
  }

  /** Tries again and again, until it is gone or a new lease wants it. */
  private unmountInBackground(storageId: string): void {
    const { clock, log, unmountRetryMs = 60_000 } = this.options;
    const work = async (): Promise<void> => {
      while (!this.stop.signal.aborted) {
        const done = await this.inOrder(storageId, async () => this.leases.has(storageId) || this.unmount(storageId));
        if (done) return;
        log.warn('A storage is busy and stays mounted for now', { storage: storageId });
        await clock.sleep(unmountRetryMs, this.stop.signal);
      }
    };
    work().catch((thrown: unknown) =>
      log.error('A storage could not be unmounted', { storage: storageId, reason: HoldfastError.from(thrown).message }),
    );
  }

  private inOrder<T>(storageId: string, work: () => Promise<T>): Promise<T> {
    const done = (this.order.get(storageId) ?? Promise.resolve()).then(work);
    this.order.set(
      storageId,
      done.catch(() => undefined),
    );
    return done;
  }
}

function parseIdentity(text: string): StorageIdentity | undefined {
  try {
    return storageIdentitySchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function missing(storage: StorageSpec, root: string, why: string): HoldfastError {
  return new HoldfastError('STORAGE_MISSING', `Storage "${storage.name}" is not at ${root}: ${why}.`, {
    storageId: storage.id,
    path: root,
  });
}
