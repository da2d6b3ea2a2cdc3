/**
 * Independent copies of what disks held when a backup or a VM snapshot was taken, made without the product while nothing writes.
 * Owns the raw files in its folder and what they belong to.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestVm } from '../testbed/test-vm.js';

/** Raw copies of a VM's disks at one moment, by target. */
export type DiskCopies = ReadonlyMap<string, string>;

export class References {
  private readonly byId = new Map<string, DiskCopies>();
  private count = 0;

  constructor(private readonly dir: string) {}

  /** Copies the disks as they are now; a running VM is suspended meanwhile, so that all are of one moment. */
  async copy(vm: TestVm): Promise<DiskCopies> {
    this.count += 1;
    const folder = join(this.dir, String(this.count));
    await mkdir(folder, { recursive: true });
    const running = (await vm.domstate()) === 'running';
    // What the guest still holds in memory would reach the disk between this copy and the freeze.
    if (running) await vm.mustShell('sync');
    if (running) await vm.host.virsh('suspend', vm.uuid);
    try {
      const copies = new Map<string, string>();
      for (const target of Object.keys(await vm.diskPaths())) {
        const file = join(folder, `${target}.raw`);
        await vm.copyDisk(target, file);
        copies.set(target, file);
      }
      return copies;
    } finally {
      if (running) await vm.host.virsh('resume', vm.uuid);
    }
  }

  /** These copies are what the backup or snapshot must hold. */
  bind({ id }: { readonly id: string }, copies: DiskCopies): void {
    this.byId.set(id, copies);
  }

  /** The copies that belong to a backup or snapshot, or undefined when none were made. */
  of(id: string): DiskCopies | undefined {
    return this.byId.get(id);
  }

  async remove(): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
