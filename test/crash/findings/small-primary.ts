/**
 * A stopped VM whose disks lie on a small file system of its own inside the host's pool, with a backup to go back to and content that
 * must vanish. Owns that VM, its storage and the looks at both; what befalls them is the finding's.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { waitForSuccess } from '../../system/operations.js';
import { References, type DiskCopies } from '../../system/references.js';
import { run } from '../../testbed/command.js';
import { imagesEqual } from '../../testbed/images.js';
import { TestStorage } from '../../testbed/test-storage.js';
import { TestVm, type DiskSource } from '../../testbed/test-vm.js';
import { waitUntil } from '../../testbed/wait-until.js';
import type { CrashBench } from '../crash-bench.js';

/** For the disks, for restored ones, and for what a restore must find free beside them. */
const ROOM_MIB = 256;
/** What the guest writes into each disk. */
const DATA_MIB = 12;
const TARGETS = ['vda', 'vdb'];

interface SmallState {
  readonly disks: Record<string, DiskSource>;
  readonly files: readonly string[];
}

export class SmallPrimary {
  private constructor(
    private readonly bench: CrashBench,
    readonly media: TestStorage,
    readonly vm: TestVm,
    readonly backup: Backup,
    /** What the backup holds. */
    private readonly restored: DiskCopies,
    /** What the disks hold before a restore. */
    private readonly present: DiskCopies,
  ) {}

  static async use<T>(bench: CrashBench, work: (small: SmallPrimary) => Promise<T>): Promise<T> {
    const media = await TestStorage.create({ name: 'findings-primary', kind: 'filesystem', sizeMiB: ROOM_MIB });
    const dir = join(bench.host.dir, 'images', 'small');
    let mounted = false;
    try {
      await mkdir(dir, { recursive: true });
      await run(['mount', '--bind', media.path, dir]);
      mounted = true;
      return await work(await SmallPrimary.make(bench, media, join(dir, 'vm')));
    } finally {
      if (mounted) await run(['umount', '-l', dir]);
      await media.destroy();
    }
  }

  private static async make(bench: CrashBench, media: TestStorage, dir: string): Promise<SmallPrimary> {
    const { stack, host } = bench;
    const references = new References(join(host.dir, 'small references'));
    const vm = await TestVm.define(host, {
      name: 'small',
      dir,
      disks: [
        { target: 'vda', sizeMiB: 32, content: { label: 'a', files: {} } },
        { target: 'vdb', sizeMiB: 32, format: 'raw', content: { label: 'b', files: {} } },
      ],
    });
    await stack.waitForVm(vm);
    await stack.assign(vm, await stack.createOffering('small'));
    await vm.start();
    for (const target of TARGETS) await vm.fillRandom(`/mnt/${target}/old`, DATA_MIB, target);
    await vm.shutdown();
    await stack.waitForPower(vm, 'Stopped');
    const restored = await references.copy(vm);
    // Of its own chain nothing is left on primary: every file there is the owner's, until a restore makes one.
    const backup = await stack.backup(vm, { isolated: true });
    await vm.start();
    for (const target of TARGETS) await vm.mustShell(`mv /mnt/${target}/old /mnt/${target}/new; sync`);
    await vm.shutdown();
    await stack.waitForPower(vm, 'Stopped');
    return new SmallPrimary(bench, media, vm, backup, restored, await references.copy(vm));
  }

  /** What a restore that failed must not have changed. */
  async state(): Promise<SmallState> {
    return { disks: await this.vm.diskPaths(), files: (await readdir(this.vm.dir)).sort() };
  }

  /** The VM is as it was, in its definition, its files and what they hold, and nothing follows any more. */
  async demandState(before: SmallState): Promise<void> {
    await waitUntil('the VM is at rest', async () => {
      const { protectionState, protectionReason, busyWith } = await this.bench.stack.vm(this.vm);
      if (protectionState !== 'Ok') throw new Error(`its protection is ${protectionState}: ${protectionReason?.message ?? ''}`);
      return busyWith === undefined;
    });
    const now = await this.state();
    if (JSON.stringify(now) !== JSON.stringify(before))
      throw new Error(`the VM is not as it was: ${JSON.stringify(before)}, now ${JSON.stringify(now)}`);
    await this.demandContent(this.present);
  }

  /** It starts, with what it had. */
  async demandStarts(file: 'old' | 'new' = 'new'): Promise<void> {
    await this.vm.start();
    for (const target of TARGETS) await this.vm.mustShell(`ls /mnt/${target}/${file}`);
    await this.vm.shutdown();
    await this.bench.stack.waitForPower(this.vm, 'Stopped');
  }

  /** The restore that failed succeeds now. */
  async demandRestore(): Promise<void> {
    await waitForSuccess(this.bench.stack.api, (await this.bench.stack.startRestore(this.backup)).id);
    await this.demandContent(this.restored);
    const partial = (await readdir(this.vm.dir)).filter((name) => name.endsWith('.partial'));
    if (partial.length > 0) throw new Error(`these files were left: ${partial.join(', ')}`);
    await this.demandStarts('old');
  }

  /** It failed with that, and says where and what to do. */
  demandRefusal({ state, error }: Operation, code: string): string {
    if (state !== 'Failed' || error?.code !== code)
      throw new Error(`it ended ${state} (${error?.code ?? 'no error'}) instead of ${code}: ${error?.message ?? ''}`);
    if (!error.message.includes(`Primary storage at ${this.vm.dir} `))
      throw new Error(`the error does not name the folder ${this.vm.dir}: ${error.message}`);
    return `${error.code}: ${error.message}`;
  }

  private async demandContent(expected: DiskCopies): Promise<void> {
    for (const [target, copy] of expected) {
      const [top] = await this.vm.chain(target);
      const format = top?.format === 'raw' ? 'raw' : 'qcow2';
      if (!(await imagesEqual(await this.vm.currentFile(target), format, copy, 'raw')))
        throw new Error(`disk ${target} does not hold what it must`);
    }
  }
}
