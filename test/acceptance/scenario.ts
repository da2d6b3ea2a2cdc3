/**
 * One VM with its own storage and offering, and what is known about its content: the stage of a group of rows. Owns the VM,
 * the storage, the reference copies and the list of files that the guest must have.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Backup, CreateBackup } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CreateVmSnapshot, VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { digestOf, knownBytes, knownFiles } from '../testbed/content.js';
import type { StorageKind } from '../testbed/test-storage.js';
import { TestVm, type TestDisk } from '../testbed/test-vm.js';
import { demandInvariants } from '../system/invariants.js';
import { References } from '../system/references.js';
import type { StackStorage, SystemStack } from '../system/system-stack.js';

export interface ScenarioOptions {
  /** Lower-case letters, digits and dashes; unique in a stack. */
  readonly name: string;
  readonly chainSize?: number;
  readonly storage?: { readonly kind: StorageKind; readonly sizeMiB?: number };
  readonly disks?: readonly TestDisk[];
}

const fileMiB = 1;

export class Scenario {
  private constructor(
    readonly stack: SystemStack,
    /** On the host where it is now. */
    public vm: TestVm,
    readonly storage: StackStorage,
    readonly references: References,
  ) {}

  /** A stopped VM (root disk qcow2, data disk raw, each with files of its own) that may be backed up. */
  static async open(stack: SystemStack, options: ScenarioOptions): Promise<Scenario> {
    const { host } = stack.first;
    const storage = await stack.createStorage(options.name, options.storage);
    const disks = options.disks ?? [
      { target: 'vda', sizeMiB: 128, content: { label: 'root', files: await knownFiles(1) } },
      { target: 'vdb', sizeMiB: 64, format: 'raw' as const, content: { label: 'data', files: await knownFiles(1) } },
    ];
    const vm = await TestVm.define(host, { name: `${options.name} "1" & more`, disks });
    const scenario = new Scenario(stack, vm, storage, new References(join(host.dir, 'references', options.name)));
    await stack.waitForVm(vm);
    const offering = await stack.createOffering(options.name, options.chainSize);
    await stack.assign(vm, offering);
    // A storage for each scenario: whichever has most room would be chosen otherwise.
    await scenario.onlyMyStorage(true);
    return scenario;
  }

  /** Writes "file n" with known content to a disk of the running guest. */
  async write(n: number, target = 'vda'): Promise<void> {
    await this.vm.fillRandom(pathOf(n, target), fileMiB, seedOf(n, target));
  }

  /** The guest has exactly these of the files 1 to 9 on the disk, each with its right content. */
  async demandFiles(present: readonly number[], target = 'vda', vm = this.vm): Promise<void> {
    const listed = (await vm.mustShell(`cd /mnt/${target} && ls | grep '^file-' || true`)).trim();
    const expected = present.map((n) => `file-${n}`).sort();
    assert.deepEqual(listed === '' ? [] : listed.split(/\s+/).sort(), expected, `files of ${target} in the guest`);
    if (present.length === 0) return;
    const digests = await vm.digests(...present.map((n) => pathOf(n, target)));
    for (const n of present) {
      const wanted = digestOf(await knownBytes(seedOf(n, target), fileMiB * 1024 * 1024));
      assert.equal(digests[pathOf(n, target)], wanted, `content of ${pathOf(n, target)} in the guest`);
    }
  }

  /** Takes a backup whose content is known from outside, then checks every invariant. */
  async backup(wish: Partial<CreateBackup> = {}): Promise<Backup> {
    const copies = await this.references.copy(this.vm);
    const backup = await this.stack.backup(this.vm, wish);
    if (!backup.isolated) this.untracked.clear();
    // A freeze lets the guest write to its journal first: then the copy made before it is not what is backed up.
    if (backup.quiesced !== true) this.references.bind(backup, copies);
    await this.demandInvariants();
    return backup;
  }

  /** Takes a VM snapshot whose content is known from outside, then checks every invariant. */
  async snapshot(wish: Partial<CreateVmSnapshot> = {}): Promise<VmSnapshot> {
    const copies = await this.references.copy(this.vm);
    const snapshot = await this.stack.snapshot(this.vm, wish);
    if (snapshot.quiesced !== true) this.references.bind(snapshot, copies);
    await this.demandInvariants();
    return snapshot;
  }

  /** Reverts the stopped VM, or the volumes that the snapshot is of, then checks every invariant. */
  async revert(snapshot: VmSnapshot): Promise<void> {
    await this.stack.revert(snapshot);
    for (const { target } of snapshot.volumes) this.untracked.add(target);
    await this.demandInvariants();
  }

  /** Deletes a VM snapshot, then checks every invariant. */
  async deleteSnapshot(snapshot: VmSnapshot): Promise<void> {
    await this.stack.deleteSnapshot(snapshot);
    await this.demandInvariants();
  }

  /** Restores the stopped VM, then checks every invariant. */
  async restore(backup: Backup): Promise<Operation> {
    const operation = await this.stack.restore(backup);
    await this.demandInvariants();
    return operation;
  }

  /** Each disk, read from outside, holds what it held when the backup was taken. The VM is stopped. */
  async demandDisksEqual(
    backup: Backup,
    imagesEqual: (vm: TestVm, target: string, copy: string) => Promise<boolean>,
  ): Promise<void> {
    const copies = this.references.of(backup.id);
    assert.ok(copies, 'the reference copies of the backup');
    for (const [target, copy] of copies)
      assert.ok(await imagesEqual(this.vm, target, copy), `${target} equals backup ${backup.name}`);
  }

  async start(): Promise<void> {
    await this.vm.start();
    await this.stack.waitForPower(this.vm, 'Running');
  }

  async stop(): Promise<void> {
    await this.vm.shutdown();
    await this.stack.waitForPower(this.vm, 'Stopped');
  }

  async demandInvariants(): Promise<void> {
    await demandInvariants({
      stack: this.stack,
      vms: [this.vm, ...this.others],
      storages: [this.storage],
      references: this.references,
      untracked: this.untracked,
    });
  }

  /** Targets that were reverted since the last backup. */
  private readonly untracked = new Set<string>();

  /** Other VMs whose files are on the same primary storage. */
  others: readonly TestVm[] = [];

  /** Layers of a disk, top first, as names without folders. */
  async layers(target: string): Promise<string[]> {
    return (await this.vm.chain(target)).map(({ filename }) => filename.slice(filename.lastIndexOf('/') + 1));
  }

  async close(): Promise<void> {
    await this.vm.remove();
    await this.onlyMyStorage(false);
    await this.references.remove();
  }

  private async onlyMyStorage(mine: boolean): Promise<void> {
    for (const { storage } of this.stack.storages) {
      await this.stack.api.patch(`/secondary-storages/${storage.id}`, {
        readOnly: mine ? storage.id !== this.storage.storage.id : true,
      });
    }
  }
}

function pathOf(n: number, target: string): string {
  return `/mnt/${target}/file-${n}`;
}

function seedOf(n: number, target: string): string {
  return `${target} file ${n}`;
}
