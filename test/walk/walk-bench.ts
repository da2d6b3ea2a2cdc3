/**
 * A crash bench that people work on as well: disks come and go, others change chains. Owns the extra disks (each is written
 * once and never again, so that every copy of it must equal that) and what the walk knows of the VM.
 */
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { backupFolder } from '@holdfast/shared/manifest/paths.js';
import { CrashBench } from '../crash/crash-bench.js';
import type { StepName } from '../crash/crash-case.js';
import { createImage, imagesEqual } from '../testbed/images.js';
import { run } from '../testbed/command.js';
import { waitUntil } from '../testbed/wait-until.js';
import type { TestVm } from '../testbed/test-vm.js';
import type { WalkState } from './choose-step.js';

const EXTRA_MIB = 8;

export class WalkBench {
  private readonly steps = new Map<string, StepName[]>();
  /** Target → what the disk holds for ever. */
  private readonly extra = new Map<string, string>();
  private journeys = 0;

  private constructor(readonly crash: CrashBench) {}

  static async create(name: string): Promise<WalkBench> {
    return new WalkBench(await CrashBench.create(name, { hosts: 2 }));
  }

  get vm(): TestVm {
    return this.crash.vm;
  }

  async state(): Promise<WalkState> {
    const disks = Object.keys(await this.vm.diskPaths());
    return {
      running: await this.isRunning(),
      foreignLayer: await this.crash.foreignLayers.onTop(),
      snapshots: this.crash.snapshots.count,
      extraDisks: disks.filter((target) => this.extra.has(target)).sort(),
      attachedEver: this.extra.size,
      backups: this.crash.backups.comparable,
      steps: this.steps,
    };
  }

  async isRunning(): Promise<boolean> {
    return (await this.vm.domstate()) === 'running';
  }

  /** From now on the operation may be struck at these steps. */
  learn(operation: string, steps: readonly { readonly name: string; readonly subject: string }[]): void {
    const known = this.steps.get(operation) ?? [];
    for (const { name, subject } of steps) {
      const step = { step: name, subject: this.crash.symbolic(subject) };
      // A subject with an id in it will not come again.
      if (name.startsWith('undo-') || /[0-9a-f]{8}-[0-9a-f]{4}-/.test(step.subject)) continue;
      if (!known.some((one) => one.step === step.step && one.subject === step.subject)) known.push(step);
    }
    this.steps.set(operation, known);
  }

  /** A new disk with known content, for the running or the stopped VM. Targets are never used twice. */
  async attachDisk(): Promise<void> {
    const target = `vd${String.fromCharCode('c'.charCodeAt(0) + this.extra.size)}`;
    const raw = join(this.crash.host.dir, 'model', `${target}.raw`);
    await run(['dd', 'if=/dev/urandom', `of=${raw}`, 'bs=1M', 'count=2', 'status=none']);
    await run(['truncate', '-s', `${EXTRA_MIB}M`, raw]);
    const file = join(this.vm.dir, `${target}.qcow2`);
    await createImage({ file, format: 'qcow2', sizeMiB: EXTRA_MIB });
    await run(['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'qcow2', raw, file]);
    await this.vm.host.virsh(
      ...['attach-disk', this.vm.uuid, file, target, '--driver', 'qemu', '--subdriver', 'qcow2', '--targetbus', 'virtio'],
      (await this.isRunning()) ? '--persistent' : '--config',
    );
    this.extra.set(target, raw);
    await this.untilManagerSees(target, true);
  }

  async detachDisk(target: string): Promise<void> {
    // What is on primary for a disk of nobody is its own.
    for (const { filename } of await this.vm.chain(target)) this.crash.keptFiles.add(filename);
    const running = await this.isRunning();
    await this.vm.host.virsh('detach-disk', this.vm.uuid, target, running ? '--persistent' : '--config');
    await waitUntil(`${target} is gone`, async () => !(target in (await this.vm.diskPaths())));
    await this.untilManagerSees(target, false);
  }

  /** The running VM does this on the other host, and comes back. Every second time its definition stays where it left. */
  async onOtherHost(work: () => Promise<void>): Promise<void> {
    const { home, other } = this.crash.hosts;
    this.journeys += 1;
    const undefineSource = this.journeys % 2 === 0;
    await this.crash.migrate(other, { undefineSource });
    await work();
    await this.crash.migrate(home, { undefineSource });
  }

  /**
   * Everything that must hold, on content. A VM that is off boots for it; with `asItIs` it stays off, and is read by its guest
   * when it runs again.
   */
  async check(wish: { asItIs: boolean }): Promise<void> {
    for (const [target, raw] of this.extra) {
      if (!(target in (await this.vm.diskPaths()))) continue;
      const file = await this.vm.currentFile(target);
      if (!(await imagesEqual(file, 'qcow2', raw, 'raw'))) throw new Error(`disk ${target} (${file}) does not hold what it must`);
    }
    await this.checkExtraBackups();
    await this.crash.checkInvariants(wish);
  }

  private async checkExtraBackups(): Promise<void> {
    for (const id of this.crash.backups.comparable) {
      const { volumes } = await this.crash.stack.api.get<Backup>(`/backups/${id}`);
      for (const { key, target } of volumes) {
        const raw = this.extra.get(target);
        if (raw === undefined) continue;
        const file = join(this.crash.storage.path, backupFolder(this.vm.uuid, id), `${key}.qcow2`);
        if (!(await imagesEqual(file, 'qcow2', raw, 'raw')))
          throw new Error(`backup ${id} of ${target} does not hold what it must`);
      }
    }
  }

  private async untilManagerSees(target: string, attached: boolean): Promise<void> {
    await waitUntil(`the manager sees ${target} ${attached ? 'attached' : 'detached'}`, async () => {
      const volumes = await this.crash.stack.volumes(this.vm);
      return volumes.some((volume) => volume.target === target && volume.attached) === attached;
    });
  }
}
