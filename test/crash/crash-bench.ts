/**
 * The system on which crash cases run one after another: one VM, one storage that can fail, a content model. Owns the moves
 * that operations and faults are made of, and the look at everything after each case. Backups, snapshots and others are beside.
 */
import { join } from 'node:path';
import type { Vm } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { demandInvariants } from '../system/invariants.js';
import { References } from '../system/references.js';
import { SystemStack, type StackHost, type StackStorage } from '../system/system-stack.js';
import { hasEnded, waitForEnd } from '../system/operations.js';
import { imagesEqual } from '../testbed/images.js';
import type { TestHost } from '../testbed/test-host.js';
import type { TestStorage } from '../testbed/test-storage.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { BackupMoves } from './backup-moves.js';
import { CompactionMoves } from './compaction-moves.js';
import { ContentModel } from './content-model.js';
import { ForeignLayers } from './foreign-layers.js';
import { ReleaseMoves } from './release-moves.js';
import { SnapshotMoves } from './snapshot-moves.js';
import { Strikes } from './strikes.js';

const DEVICE_MIB = 32;
/** Short, so that a sweep meets the end of a chain. */
const CHAIN_SIZE = 3;
const REST_MS = 240_000;

export interface End {
  readonly succeeded: boolean;
  /** "as after", "as before (STORAGE_FULL)". */
  readonly words: string;
  readonly steps: readonly { readonly name: string; readonly subject: string }[];
}

export class CrashBench {
  /** What a case wants to tell in its line. */
  readonly notes: string[] = [];
  readonly snapshots: SnapshotMoves;
  readonly backups: BackupMoves;
  readonly compaction = new CompactionMoves(this);
  readonly release = new ReleaseMoves(this);
  readonly strikes = new Strikes(this);
  readonly foreignLayers = new ForeignLayers(this);
  /** Files of ours that are in no chain of the VM, and rightly so: those of a disk that was detached. */
  readonly keptFiles = new Set<string>();

  private constructor(
    readonly stack: SystemStack,
    private vmNow: TestVm,
    private readonly place: StackStorage,
    private readonly model: ContentModel,
    readonly keys: ReadonlyMap<string, string>,
    private readonly references: References,
  ) {
    this.snapshots = new SnapshotMoves(this, model);
    this.backups = new BackupMoves(this, model);
  }

  /** On more hosts than one the VM begins on the first, where operations are struck. */
  static async create(name: string, { hosts = 1, chainSize = CHAIN_SIZE } = {}): Promise<CrashBench> {
    const stack = await SystemStack.start({ name, hosts });
    try {
      const { host } = stack.first;
      const vm = await TestVm.define(host, {
        name: `crash "test" & <vm>`,
        disks: [
          { target: 'vda', sizeMiB: 64, content: { label: 'vda', files: {} } },
          { target: 'vdb', sizeMiB: DEVICE_MIB, format: 'raw' },
        ],
      });
      await stack.waitForVm(vm);
      const place = await stack.createStorage('store', { kind: 'slow', sizeMiB: 1024 });
      await stack.assign(vm, await stack.createOffering('crash', chainSize));
      const model = await ContentModel.create(join(host.dir, 'model'), DEVICE_MIB);
      const keys = new Map<string, string>();
      for (const target of ['vda', 'vdb']) keys.set(target, await stack.volumeKey(vm, target));
      return new CrashBench(stack, vm, place, model, keys, new References(join(host.dir, 'references')));
    } catch (error) {
      const logs = await stack.logs();
      await stack.destroy();
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${logs}`, { cause: error });
    }
  }

  /** As it is on the host that it is on. */
  get vm(): TestVm {
    return this.vmNow;
  }

  get host(): TestHost {
    return this.stack.first.host;
  }

  get storage(): TestStorage {
    return this.place.media;
  }

  async destroy(): Promise<void> {
    await this.stack.destroy();
  }

  // ---- where operations start -------------------------------------------------------------------------------------

  async runningWithNewContent(): Promise<void> {
    if ((await this.vm.domstate()) !== 'running') await this.vm.start();
    await this.vm.waitForAgent();
    await this.model.mutate(this.vm);
    await this.stack.waitForPower(this.vm, 'Running');
  }

  async stoppedWithNewContent(): Promise<void> {
    await this.runningWithNewContent();
    await this.stop();
  }

  /** A stopped VM, one backup to go back to (always the same), and content that must vanish. */
  async stoppedWithBackupAndNewContent(): Promise<void> {
    await this.backups.takeThoseToRestore();
    await this.stoppedWithNewContent();
  }

  async withNewContent(power: 'running' | 'stopped'): Promise<void> {
    await (power === 'running' ? this.runningWithNewContent() : this.stoppedWithNewContent());
  }

  /** Waits until an operation that is not struck has ended well and everything is at rest. */
  async demandSuccess(operationId: string): Promise<void> {
    const end = await this.waitForRest(operationId);
    if (!end.succeeded) throw new Error(`an operation that was not struck failed: ${end.words}`);
  }

  /** Where the VM begins, and the host that it may move to. */
  get hosts(): { readonly home: StackHost; readonly other: StackHost } {
    const [home, other] = this.stack.hosts;
    if (home === undefined || other === undefined) throw new Error('this bench has one host');
    return { home, other };
  }

  /** Live, by its owner. The definition stays where it was, unless `undefineSource`. */
  async migrate(to: StackHost, options: { undefineSource: boolean }): Promise<void> {
    this.vmNow = await this.stack.migrate(this.vm, to, options);
  }

  private async stop(): Promise<void> {
    await this.vm.shutdown();
    await this.stack.waitForPower(this.vm, 'Stopped');
  }

  // ---- names of steps that hold on every bench ------------------------------------------------------------------------

  /** A step's subject with targets and places in the chain instead of ids. */
  symbolic(subject: string): string {
    return this.ids().reduce((text, [id, word]) => text.replaceAll(id, word), subject);
  }

  /** The other way round. */
  concrete(subject: string): string {
    return this.ids().reduce((text, [id, word]) => text.replaceAll(word, id), subject);
  }

  private ids(): [string, string][] {
    return [
      ...[...this.keys].map(([target, key]): [string, string] => [key, `{${target}}`]),
      [this.place.storage.id, '{storage}'],
      ...this.release.ids(),
      ...this.backups.ids(),
    ];
  }

  // ---- the look afterwards ------------------------------------------------------------------------------------------

  /** Waits until the operation has ended and nothing follows from it any more. */
  async waitForRest(operationId: string): Promise<End> {
    const operation = await waitForEnd(this.stack.api, operationId, REST_MS);
    await waitUntil(
      'the VM is at rest',
      async () => {
        const vm = await this.stack.api.get<Vm>(`/vms/${this.vm.uuid}`);
        if (vm.protectionState !== 'Ok')
          throw new Error(`its protection is ${vm.protectionState}: ${vm.protectionReason?.message ?? ''}`);
        if (vm.busyWith !== undefined) throw new Error(`operation ${vm.busyWith} works on it`);
        const open = (await this.stack.api.list<Operation>('/operations', { vmId: this.vm.uuid })).filter(
          (one) => !hasEnded(one),
        );
        return open.length === 0;
      },
      { timeoutMs: REST_MS, intervalMs: 200 },
    );
    const succeeded = operation.state === 'Succeeded';
    return {
      succeeded,
      words: succeeded ? 'as after' : `as before (${operation.error?.code ?? operation.state})`,
      steps: operation.steps,
    };
  }

  /**
   * I1-I5 and I9 on content: the guest's disks, every young backup, every snapshot, the files on both storages. A VM that is
   * off is started, to see that it boots and reads its files; `asItIs` leaves it off.
   */
  async checkInvariants({ asItIs = false }: { asItIs?: boolean } = {}): Promise<void> {
    const state = await this.vm.domstate();
    if (state !== 'running' && state !== 'shut off') throw new Error(`the guest is ${state}`);
    await this.demandDevice(
      await this.vm.currentFile('vdb'),
      (await this.vm.chain('vdb'))[0]?.format === 'raw' ? 'raw' : 'qcow2',
      this.model.devicePath,
      'disk vdb',
    );
    await this.backups.check();
    await this.snapshots.check();
    await demandInvariants({
      stack: this.stack,
      vms: [this.vm],
      storages: [this.place],
      references: this.references,
      keptFiles: this.keptFiles,
    });
    if (state === 'shut off') {
      if (asItIs) return;
      await this.vm.start();
    }
    const wrong = await this.model.wrongFiles(this.vm);
    if (wrong.length > 0) throw new Error(`files in the guest are not what they were: ${wrong.join(', ')}`);
    if ((await this.vm.fsfreezeStatus()) !== 'thawed') throw new Error('the guest is frozen');
  }

  /** A device's content in an image must be that of a raw reference. `what`: what it is called when it is not. */
  async demandDevice(file: string, format: 'raw' | 'qcow2', reference: string, what: string): Promise<void> {
    if (!(await imagesEqual(file, format, reference, 'raw'))) throw new Error(`${what} (${file}) does not hold what it must`);
  }

  /** For a case that failed: everything anew, so that the next ones are not blamed. */
  async logs(): Promise<string> {
    return this.stack.logs(60);
  }
}
