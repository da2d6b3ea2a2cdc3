/**
 * The system on which crash cases run one after another: one VM, one storage that can fail, a content model. Owns the moves
 * that operations and faults are made of, and the look at everything after each case.
 */
import { join } from 'node:path';
import type { Backup, CreateBackup, Deletion } from '@holdfast/shared/api/backups.js';
import type { Vm } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { backupFolder, volumeFile } from '@holdfast/shared/manifest/paths.js';
import { demandInvariants } from '../system/invariants.js';
import { References } from '../system/references.js';
import { SystemStack, type StackHost, type StackStorage } from '../system/system-stack.js';
import { hasEnded, waitForEnd } from '../system/operations.js';
import { imagesEqual } from '../testbed/images.js';
import type { TestHost } from '../testbed/test-host.js';
import type { TestStorage } from '../testbed/test-storage.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CompactionMoves } from './compaction-moves.js';
import { ContentModel } from './content-model.js';
import { ForeignLayers } from './foreign-layers.js';
import { ReleaseMoves } from './release-moves.js';
import { SnapshotMoves } from './snapshot-moves.js';
import { Strikes } from './strikes.js';

const DEVICE_MIB = 32;
/** Short, so that a sweep meets the end of a chain. */
const CHAIN_SIZE = 3;
/** Backups whose content is compared after every case; older ones were compared when they were young. */
const COMPARED_BACKUPS = 3;
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
  readonly compaction = new CompactionMoves(this);
  readonly release = new ReleaseMoves(this);
  readonly strikes = new Strikes(this);
  readonly foreignLayers = new ForeignLayers(this);
  /** Files of ours that are in no chain of the VM, and rightly so: those of a disk that was detached. */
  readonly keptFiles = new Set<string>();
  /** Operation → the backup that it restores. */
  private readonly restoring = new Map<string, Backup['id']>();
  private comparable: string[] = [];
  /** The backup that restores go back to, and its parents before it. */
  private readonly restoreChain: Backup['id'][] = [];
  /** Backups that a deletion takes away, oldest first; the one below them must live on. */
  doomed: readonly string[] = [];

  private constructor(
    readonly stack: SystemStack,
    private vmNow: TestVm,
    private readonly place: StackStorage,
    private readonly model: ContentModel,
    readonly keys: ReadonlyMap<string, string>,
    private readonly references: References,
  ) {
    this.snapshots = new SnapshotMoves(this, model);
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
    if (this.restored === undefined) {
      // Two backups, so that a restore reads a chain of files.
      for (let index = 0; index < 2; index += 1) this.restoreChain.push(await this.newBackup(`to restore ${index}`));
    }
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

  /** A backup of new content that must succeed: a thing to start from. */
  async newBackup(name: string): Promise<Backup['id']> {
    await this.runningWithNewContent();
    const operationId = await this.startBackup({ name });
    const end = await this.waitForRest(operationId);
    const id = end.succeeded ? await this.concludeBackup(operationId, true) : undefined;
    if (id === undefined) throw new Error(`the backup "${name}" to start from could not be taken: ${end.words}`);
    return id;
  }

  /** Their content is compared no more. */
  async forgetBackups(ids: readonly string[]): Promise<void> {
    this.comparable = this.comparable.filter((id) => !ids.includes(id));
    for (const id of ids) await this.model.forget(id);
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

  private get restored(): Backup['id'] | undefined {
    return this.restoreChain.at(-1);
  }

  private async stop(): Promise<void> {
    await this.vm.shutdown();
    await this.stack.waitForPower(this.vm, 'Stopped');
  }

  // ---- operations -------------------------------------------------------------------------------------------------

  async startBackup(wish: Partial<CreateBackup>): Promise<string> {
    return (await this.stack.startBackup(this.vm, wish)).id;
  }

  /** Restores a backup whose content is kept; default: always the same one. It ends the snapshots that there are. */
  async startRestore(backupId: string | undefined = this.restored): Promise<string> {
    if (backupId === undefined) throw new Error('there is no backup to restore');
    const backup = { id: backupId as Backup['id'] };
    const { id } = await this.stack.startRestore(backup, this.snapshots.count > 0 ? { dropSnapshots: true } : {});
    this.restoring.set(id, backup.id);
    return id;
  }

  /** Those that restores go back to stay for ever. */
  get backupsToRestore(): readonly string[] {
    return this.restoreChain;
  }

  /** Backups whose content is kept, oldest first. */
  get comparableBackups(): readonly string[] {
    return [...this.comparable];
  }

  /** A published backup must hold the content of now; the guest wrote nothing since before it began. */
  async concludeBackup(operationId: string, succeeded: boolean): Promise<Backup['id'] | undefined> {
    const { backupId } = await this.stack.api.get<Operation>(`/operations/${operationId}`);
    if (backupId === undefined) throw new Error(`operation ${operationId} names no backup`);
    const backup = await this.stack.api.get<Backup>(`/backups/${backupId}`);
    const expected = succeeded ? 'BackedUp' : 'Failed';
    if (backup.state !== expected)
      throw new Error(`the operation ended ${succeeded ? 'well' : 'badly'}, but the backup is ${backup.state}`);
    if (!succeeded) return undefined;
    await this.model.keep(backupId);
    this.comparable.push(backupId);
    while (this.comparable.length > COMPARED_BACKUPS + this.restoreChain.length) {
      const oldest = this.comparable.find((id) => !this.restoreChain.some((kept) => kept === id) && id !== backupId) ?? '';
      this.comparable = this.comparable.filter((id) => id !== oldest);
      await this.model.forget(oldest);
    }
    return backupId;
  }

  /** A restore that succeeded has brought the kept content back; the files it left behind are released. */
  async concludeRestore(operationId: string, succeeded: boolean): Promise<void> {
    if (!succeeded) return;
    await this.returnToRestored(operationId);
    await this.release.releaseAll();
  }

  /** The model follows a restore. */
  async returnToRestored(operationId: string): Promise<void> {
    const backupId = this.restoring.get(operationId);
    if (backupId === undefined) throw new Error(`operation ${operationId} is no restore of this bench`);
    await this.model.returnTo(backupId);
    await this.snapshots.forgetAll();
  }

  /** Asks for the deletion of a backup with all that lies on it. Undefined: there was nothing to do on a host. */
  async startDeletion(backupId: string): Promise<string | undefined> {
    const { operations } = await this.stack.api.post<Deletion>('/backups/actions/delete', { ids: [backupId], forced: true });
    return operations[0]?.id;
  }

  /** What was deleted since is compared no more. A deletion that a fault kept from its end is asked for again. */
  async forgetDeleted(): Promise<void> {
    const failed = await this.stack.api.list<Backup>('/backups', { vmId: this.vm.uuid, state: 'DeleteFailed' });
    for (const { id } of failed) {
      const again = await this.startDeletion(id);
      const end = again === undefined ? undefined : await this.waitForRest(again);
      if (end?.succeeded === false) throw new Error(`a deletion that nothing disturbs failed: ${end.words}`);
    }
    for (const id of [...this.comparable]) {
      const { state } = await this.stack.api.get<Backup>(`/backups/${id}`);
      if (state === 'BackedUp') continue;
      this.comparable = this.comparable.filter((one) => one !== id);
      await this.model.forget(id);
    }
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
      ...this.doomed.map((id, index): [string, string] => [id, `{doomed ${index + 1}}`]),
      ...this.restoreChain.map((id, index): [string, string] => [id, `{backup ${index + 1}}`]),
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
    for (const id of this.comparable) await this.demandBackup(id);
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

  private async demandBackup(id: string): Promise<void> {
    const file = (target: string) =>
      join(this.storage.path, backupFolder(this.vm.uuid, id), volumeFile(this.keys.get(target) ?? ''));
    await this.demandDevice(file('vdb'), 'qcow2', this.model.pathOf(id), `backup ${id} of vdb`);
    const wrong = await this.model.wrongFilesIn(file('vda'), id);
    if (wrong.length > 0) throw new Error(`backup ${id} of vda does not hold what it must: ${wrong.join(', ')}`);
  }

  private async demandDevice(file: string, format: 'raw' | 'qcow2', reference: string, what: string): Promise<void> {
    if (!(await imagesEqual(file, format, reference, 'raw'))) throw new Error(`${what} (${file}) does not hold what it must`);
  }

  /** For a case that failed: everything anew, so that the next ones are not blamed. */
  async logs(): Promise<string> {
    return this.stack.logs(60);
  }
}
