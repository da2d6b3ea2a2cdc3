/** Releasing the files that a restore left behind, as crash cases ask for it. Owns what is left and what must be gone. */
import { existsSync } from 'node:fs';
import type { SupersededFile } from '@holdfast/shared/api/inventory.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { CrashBench } from './crash-bench.js';

export class ReleaseMoves {
  /** What the last restore left behind, by target. One file per disk: a restored disk that was not backed up since has one layer. */
  private left: ReadonlyMap<string, string> = new Map();

  constructor(private readonly bench: CrashBench) {}

  /** A stopped VM that was restored twice, so that one file per disk is left behind whatever was before. */
  async before(): Promise<void> {
    await this.bench.stoppedWithBackupAndNewContent();
    for (const chain of await Promise.all(['vda', 'vdb'].map((target) => this.bench.vm.chain(target)))) {
      if (chain.length === 1) continue;
      await this.restore();
      await this.releaseAll();
      break;
    }
    await this.restore();
    const targets = new Map([...this.bench.keys].map(([target, key]) => [key, target]));
    this.left = new Map((await this.list()).map(({ volumeId, path }) => [targets.get(volumeId) ?? '', path]));
  }

  async start(): Promise<string> {
    return (await this.bench.stack.api.delete<Operation>(this.path)).id;
  }

  /** A release that a fault kept from its end is asked for again; whatever came, every file is gone in the end, and no other. */
  async conclude(succeeded: boolean): Promise<void> {
    if (!succeeded) await this.releaseAll();
    this.demandGone();
    const listed = await this.list();
    if (listed.length > 0) throw new Error(`released, and still listed: ${listed.map(({ path }) => path).join(', ')}`);
  }

  /** What was left behind before the release. */
  demandGone(): void {
    const there = [...this.left.values()].filter((path) => existsSync(path));
    if (there.length > 0) throw new Error(`released, and still there: ${there.join(', ')}`);
  }

  /** Releases what there is, undisturbed. */
  async releaseAll(): Promise<void> {
    if ((await this.list()).length > 0) await this.bench.demandSuccess(await this.start());
  }

  /** Path → a name that holds on every bench. */
  ids(): [string, string][] {
    return [...this.left].map(([target, path]) => [path, `{left ${target}}`]);
  }

  private get path(): string {
    return `/vms/${this.bench.vm.uuid}/superseded-files`;
  }

  private async list(): Promise<SupersededFile[]> {
    return (await this.bench.stack.api.get<{ items: SupersededFile[] }>(this.path)).items;
  }

  private async restore(): Promise<void> {
    const id = await this.bench.backups.startRestore();
    await this.bench.demandSuccess(id);
    await this.bench.backups.returnToRestored(id);
  }
}
