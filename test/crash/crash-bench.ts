/**
 * The system on which crash cases run one after another: one VM, one storage that can fail, a content model. Owns the moves
 * that operations and faults are made of, and the look at everything after each case.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup, CreateBackup, Deletion } from '@holdfast/shared/api/backups.js';
import type { Vm } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { backupFolder, volumeFile } from '@holdfast/shared/manifest/paths.js';
import { demandInvariants } from '../system/invariants.js';
import { References } from '../system/references.js';
import { SystemStack, type StackStorage } from '../system/system-stack.js';
import { hasEnded, waitForEnd } from '../system/operations.js';
import type { Breakpoint } from '../system/breakpoints.js';
import { imagesEqual } from '../testbed/images.js';
import type { TestHost } from '../testbed/test-host.js';
import type { TestStorage } from '../testbed/test-storage.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { ContentModel } from './content-model.js';
import type { StepName } from './crash-case.js';
import { SnapshotMoves } from './snapshot-moves.js';

const DEVICE_MIB = 32;
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
  /** Files of ours that are in no chain of the VM, and rightly so: those of a disk that was detached. */
  readonly keptFiles = new Set<string>();
  private restoring: string | undefined;
  private comparable: string[] = [];
  /** The backup that restores go back to, and its parents before it. */
  private readonly restoreChain: Backup['id'][] = [];
  /** The child of the last chain that was to be compacted. */
  private compacted: Backup['id'] | undefined;
  /** Backups that a deletion takes away, oldest first; the one below them must live on. */
  doomed: readonly string[] = [];

  private constructor(
    readonly stack: SystemStack,
    readonly vm: TestVm,
    private readonly place: StackStorage,
    private readonly model: ContentModel,
    private readonly keys: ReadonlyMap<string, string>,
    private readonly references: References,
  ) {
    this.snapshots = new SnapshotMoves(this, model);
  }

  static async create(name: string): Promise<CrashBench> {
    const stack = await SystemStack.start({ name });
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
      await stack.assign(vm, await stack.createOffering('crash', CHAIN_SIZE));
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

  /** A chain that is open, so that there is a delta on primary, and content written since its head. */
  async openChainWithNewContent(power: 'running' | 'stopped'): Promise<void> {
    if ((await this.stack.vm(this.vm)).headBackupId === undefined) {
      await this.newBackup('head of a chain to finish');
    }
    await this.withNewContent(power);
  }

  async withNewContent(power: 'running' | 'stopped'): Promise<void> {
    await (power === 'running' ? this.runningWithNewContent() : this.stoppedWithNewContent());
  }

  /** An open chain whose oldest backup is deleted and kept for one child alone. */
  async chainWithDeletedOldest(): Promise<void> {
    for (;;) {
      this.compacted = await this.newBackup('of a chain to compact');
      const { parentId } = await this.stack.api.get<Backup>(`/backups/${this.compacted}`);
      if (parentId === undefined || (await this.stack.api.get<Backup>(`/backups/${parentId}`)).type !== 'FULL') continue;
      const { operations } = await this.stack.api.delete<Deletion>(`/backups/${parentId}`);
      for (const { id } of operations) await this.waitForRest(id);
      await this.forgetBackups([parentId]);
      return;
    }
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
    this.restoring = backupId;
    const wish = this.snapshots.count > 0 ? { dropSnapshots: true } : {};
    return (await this.stack.startRestore({ id: backupId as Backup['id'] }, wish)).id;
  }

  /** Backups whose content is kept, oldest first. */
  get comparableBackups(): readonly string[] {
    return [...this.comparable];
  }

  async startFinishChain(): Promise<string> {
    return (await this.stack.api.post<Operation>(`/vms/${this.vm.uuid}/actions/finish-backup-chain`, {})).id;
  }

  /** A chain that was finished has no head any more; one that was not is finished by the reconciler or stays open. */
  async concludeFinishChain(succeeded: boolean): Promise<void> {
    const { headBackupId } = await this.stack.vm(this.vm);
    if (succeeded && headBackupId !== undefined)
      throw new Error(`the chain was finished, but backup ${headBackupId} is still its head`);
  }

  async startCompaction(): Promise<string> {
    return (await this.stack.api.post<Operation>(`/backups/${this.compacted}/actions/compact`, {})).id;
  }

  /** One that failed, wherever, is finished by the next one. */
  async concludeCompaction(succeeded: boolean): Promise<void> {
    if (!succeeded) {
      const end = await this.waitForRest(await this.startCompaction());
      if (!end.succeeded) throw new Error(`the compaction after one that failed failed as well: ${end.words}`);
    }
    const { type } = await this.stack.api.get<Backup>(`/backups/${this.compacted}`);
    if (type !== 'FULL') throw new Error('the chain was compacted, but the child is not full');
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
  async concludeRestore(_operationId: string, succeeded: boolean): Promise<void> {
    if (!succeeded) return;
    if (this.restoring !== undefined) await this.model.returnTo(this.restoring);
    await this.snapshots.forgetAll();
    const release = await this.stack.api.delete<Operation>(`/vms/${this.vm.uuid}/superseded-files`);
    const end = await waitForEnd(this.stack.api, release.id);
    if (end.state !== 'Succeeded')
      throw new Error(`the files left behind could not be released: ${end.error?.message ?? end.state}`);
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

  private concrete(subject: string): string {
    return this.ids().reduce((text, [id, word]) => text.replaceAll(word, id), subject);
  }

  private ids(): [string, string][] {
    return [
      ...[...this.keys].map(([target, key]): [string, string] => [key, `{${target}}`]),
      [this.place.storage.id, '{storage}'],
      ...this.doomed.map((id, index): [string, string] => [id, `{doomed ${index + 1}}`]),
      ...this.restoreChain.map((id, index): [string, string] => [id, `{backup ${index + 1}}`]),
    ];
  }

  // ---- breakpoints and faults ---------------------------------------------------------------------------------------

  async setBreakpoint({ step, subject, phase }: StepName & { phase: 'before' | 'after' }): Promise<Breakpoint> {
    const breakpoint = { step, subject: this.concrete(subject), phase };
    await this.stack.first.agent.breakpoints.set(breakpoint);
    return breakpoint;
  }

  /** True when the operation stands at the breakpoint; false when it ended without coming there. */
  async waitForBreakpointOrEnd(breakpoint: Breakpoint, operationId: string): Promise<boolean> {
    let ended = false;
    try {
      await this.stack.first.agent.breakpoints.reached(breakpoint, async () => {
        ended = hasEnded(await this.stack.api.get<Operation>(`/operations/${operationId}`));
        return ended ? 'the operation has ended' : undefined;
      });
      return true;
    } catch (error) {
      if (ended) return false;
      throw error;
    }
  }

  async clearBreakpoint(breakpoint: Breakpoint): Promise<void> {
    await this.stack.first.agent.breakpoints.release(breakpoint);
  }

  /** Kills the next process of that program on the host, for as long as the operation may still start one. */
  async killNext(tool: string): Promise<boolean> {
    try {
      return await waitUntil(
        `a ${tool} runs`,
        async () => {
          const found = (await this.host.processes()).find((one) => one.argv[0]?.split('/').at(-1) === tool);
          if (found === undefined) return undefined;
          await this.host.killProcess(found.pid).catch(() => undefined);
          return true;
        },
        { timeoutMs: 1_500, intervalMs: 1 },
      );
    } catch {
      return false;
    }
  }

  /** A file that is open for writing forbids the remount; whatever writes ends soon. */
  async remountReadOnly(): Promise<void> {
    await waitUntil('the storage is read-only', async () => {
      await this.storage.remountReadOnly();
      return true;
    });
  }

  /** While a secondary storage hangs, the guest must not notice. */
  async demandLivingGuest(): Promise<void> {
    if ((await this.vm.domstate()) !== 'running') return;
    await this.vm.mustShell('true', 60_000);
  }

  /** The request of an operation as the agent's own journal keeps it. */
  async agentRequest(operationId: string): Promise<{ volumes: { target: string; newDeltaPath: string }[] }> {
    const file = join(this.stack.first.agent.stateDir, 'operations', operationId, 'request.json');
    const { request } = JSON.parse(await readFile(file, 'utf8')) as {
      request: { volumes: { target: string; newDeltaPath: string }[] };
    };
    return request;
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
      { timeoutMs: REST_MS, intervalMs: 100 },
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
    for (const id of this.comparable) {
      const file = join(this.storage.path, backupFolder(this.vm.uuid, id), volumeFile(this.keys.get('vdb') ?? ''));
      await this.demandDevice(file, 'qcow2', this.model.pathOf(id), `backup ${id} of vdb`);
    }
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

  private async demandDevice(file: string, format: 'raw' | 'qcow2', reference: string, what: string): Promise<void> {
    if (!(await imagesEqual(file, format, reference, 'raw'))) throw new Error(`${what} (${file}) does not hold what it must`);
  }

  /** For a case that failed: everything anew, so that the next ones are not blamed. */
  async logs(): Promise<string> {
    return this.stack.logs(60);
  }
}
