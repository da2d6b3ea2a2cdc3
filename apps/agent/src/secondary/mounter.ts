/**
 * Mounting and unmounting by mount(8) and umount(8), as children. Owns argument arrays and default options; knows nothing of
 * leases and identities.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ToolRunner } from '../process/tool-runner.js';
import { HELPER_DIRECTORIES, missingHelper } from './mount-helpers.js';
import { readMounts } from './mount-table.js';
import type { StorageSpec } from './storage-spec.js';

const MOUNT_MS = 120_000;
const UNMOUNT_MS = 30_000;

/** A storage holds data alone: nothing on it is a program, a device or a way to other rights. */
const ALWAYS = 'nosuid,nodev,noexec';

/** The options for mount(8): ours first, so that the storage's own win where they speak of the same thing. */
export function mountOptions(storage: Pick<StorageSpec, 'options'>): string {
  return storage.options === '' ? ALWAYS : `${ALWAYS},${storage.options}`;
}

export class Mounter {
  constructor(
    private readonly tools: ToolRunner,
    private readonly helperDirectories = HELPER_DIRECTORIES,
  ) {}

  /** Whether something is mounted exactly there. Asks only the kernel's memory. */
  async isMounted(mountPoint: string): Promise<boolean> {
    return (await readMounts()).some((mount) => mount.mountPoint === mountPoint);
  }

  /**
   * STORAGE_MISSING when mount(8) refuses, with the package of the type's helper when this host lacks that; STORAGE_HANGING
   * when mount(8) does not end. The mount point must exist.
   */
  async mount(storage: StorageSpec, mountPoint: string): Promise<void> {
    const args = ['-t', storage.type, '-o', mountOptions(storage), '--', storage.source, mountPoint];
    const facts = { storageId: storage.id, source: storage.source };
    // Not refused for that alone: the kernel mounts some sources by itself (an address instead of a name, the secret given).
    const missing = await missingHelper(storage.type, this.helperDirectories);
    try {
      const result = await this.tools.run('mount', args, { deadlineMs: MOUNT_MS });
      if (result.exitCode === 0) return;
      const said = result.stderr.trim();
      throw new HoldfastError(
        'STORAGE_MISSING',
        `Storage "${storage.name}" (${storage.type} ${storage.source}) cannot be mounted on this host` +
          (missing === undefined
            ? `: ${said}`
            : `, which has no ${missing.name}: install the package ${missing.inPackage} there. mount said: ${said}`),
        {
          ...facts,
          stderr: result.stderr.slice(-2_000),
          ...(missing !== undefined && { helper: missing.name, package: missing.inPackage }),
        },
      );
    } catch (thrown) {
      if (thrown instanceof HoldfastError && thrown.code === 'TIMED_OUT') {
        throw new HoldfastError(
          'STORAGE_HANGING',
          `Storage "${storage.name}" (${storage.source}) does not answer a mount within ${MOUNT_MS / 1000} s.`,
          facts,
          { cause: thrown },
        );
      }
      throw thrown;
    }
  }

  /** True when it is not mounted any more; false when it is busy or hangs (try later). Never forced: an operation may still read. */
  async unmount(mountPoint: string): Promise<boolean> {
    if (!(await this.isMounted(mountPoint))) return true;
    try {
      await this.tools.run('umount', ['--', mountPoint], { deadlineMs: UNMOUNT_MS });
    } catch {
      // Seen below: only the mount table says whether it is gone.
    }
    return !(await this.isMounted(mountPoint));
  }
}
