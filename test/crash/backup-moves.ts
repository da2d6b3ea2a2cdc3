/**
 * Backups as crash cases take, restore and delete them. Owns which content is still compared, what restores go back to, and what a
 * deletion takes away.
 */
import { join } from 'node:path';
import type { Backup, CreateBackup, Deletion } from '@holdfast/shared/api/backups.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { backupFolder, volumeFile } from '@holdfast/shared/manifest/paths.js';
import type { ContentModel } from './content-model.js';
import type { CrashBench } from './crash-bench.js';
import { deleteNow } from './deletion-moves.js';

/** Backups whose content is compared after every case; older ones were compared when they were young. */
const COMPARED_BACKUPS = 3;

export class BackupMoves {
  /** Operation → the backup that it restores. */
  private readonly restoring = new Map<string, Backup['id']>();
  private compared: string[] = [];
  /** The backup that restores go back to, and its parents before it. */
  private readonly restoreChain: Backup['id'][] = [];
  /** Backups that a deletion takes away, oldest first; the one below them must live on. */
  doomed: readonly string[] = [];

  constructor(
    private readonly bench: CrashBench,
    private readonly model: ContentModel,
  ) {}

  /** A backup of new content that must succeed: a thing to start from. */
  async take(name: string): Promise<Backup['id']> {
    await this.bench.runningWithNewContent();
    const operationId = await this.start({ name });
    const end = await this.bench.waitForRest(operationId);
    const id = end.succeeded ? await this.conclude(operationId, true) : undefined;
    if (id === undefined) throw new Error(`the backup "${name}" to start from could not be taken: ${end.words}`);
    return id;
  }

  /** Their content is compared no more. */
  async forget(ids: readonly string[]): Promise<void> {
    this.compared = this.compared.filter((id) => !ids.includes(id));
    for (const id of ids) await this.model.forget(id);
  }

  async start(wish: Partial<CreateBackup>): Promise<string> {
    return (await this.bench.stack.startBackup(this.bench.vm, wish)).id;
  }

  /** Restores a backup whose content is kept; default: always the same one. It ends the snapshots that there are. */
  async startRestore(backupId: string | undefined = this.restored): Promise<string> {
    if (backupId === undefined) throw new Error('there is no backup to restore');
    const backup = { id: backupId as Backup['id'] };
    const { id } = await this.bench.stack.startRestore(backup, this.bench.snapshots.count > 0 ? { dropSnapshots: true } : {});
    this.restoring.set(id, backup.id);
    return id;
  }

  /** Those that restores go back to stay for ever. */
  get toRestore(): readonly string[] {
    return this.restoreChain;
  }

  /** Backups whose content is kept, oldest first. */
  get comparable(): readonly string[] {
    return [...this.compared];
  }

  /** A published backup must hold the content of now; the guest wrote nothing since before it began. */
  async conclude(operationId: string, succeeded: boolean): Promise<Backup['id'] | undefined> {
    const { backupId } = await this.bench.stack.api.get<Operation>(`/operations/${operationId}`);
    if (backupId === undefined) throw new Error(`operation ${operationId} names no backup`);
    const backup = await this.bench.stack.api.get<Backup>(`/backups/${backupId}`);
    const expected = succeeded ? 'BackedUp' : 'Failed';
    if (backup.state !== expected)
      throw new Error(`the operation ended ${succeeded ? 'well' : 'badly'}, but the backup is ${backup.state}`);
    if (!succeeded) return undefined;
    await this.model.keep(backupId);
    this.compared.push(backupId);
    while (this.compared.length > COMPARED_BACKUPS + this.restoreChain.length) {
      const oldest = this.compared.find((id) => !this.restoreChain.some((kept) => kept === id) && id !== backupId) ?? '';
      this.compared = this.compared.filter((id) => id !== oldest);
      await this.model.forget(oldest);
    }
    return backupId;
  }

  /** A restore that succeeded has brought the kept content back; the files it left behind are released. */
  async concludeRestore(operationId: string, succeeded: boolean): Promise<void> {
    if (!succeeded) return;
    await this.returnToRestored(operationId);
    await this.bench.release.releaseAll();
  }

  /** The model follows a restore. */
  async returnToRestored(operationId: string): Promise<void> {
    const backupId = this.restoring.get(operationId);
    if (backupId === undefined) throw new Error(`operation ${operationId} is no restore of this bench`);
    await this.model.returnTo(backupId);
    await this.bench.snapshots.forgetAll();
  }

  /** Asks for the deletion of a backup with all that lies on it. Undefined: there was nothing to do on a host. */
  async startDeletion(backupId: string): Promise<string | undefined> {
    const { operations } = await this.bench.stack.api.post<Deletion>('/backups/actions/delete', {
      ids: [backupId],
      forced: true,
    });
    return operations[0]?.id;
  }

  /** What was deleted since is compared no more. A deletion that a fault kept from its end is asked for again. */
  async forgetDeleted(): Promise<void> {
    const failed = await this.bench.stack.api.list<Backup>('/backups', { vmId: this.bench.vm.uuid, state: 'DeleteFailed' });
    for (const { id } of failed) await deleteNow(this.bench, { ids: [id], forced: true });
    for (const id of [...this.compared]) {
      const { state } = await this.bench.stack.api.get<Backup>(`/backups/${id}`);
      if (state === 'BackedUp') continue;
      this.compared = this.compared.filter((one) => one !== id);
      await this.model.forget(id);
    }
  }

  /** The backup to go back to (always the same one) is taken the first time. Two, so that a restore reads a chain of files. */
  async takeThoseToRestore(): Promise<void> {
    if (this.restored !== undefined) return;
    for (let index = 0; index < 2; index += 1) this.restoreChain.push(await this.take(`to restore ${index}`));
  }

  /** Every young backup holds what its content was. */
  async check(): Promise<void> {
    for (const id of this.compared) await this.demandContent(id);
  }

  /** Id → a name that holds on every bench. */
  ids(): [string, string][] {
    return [
      ...this.doomed.map((id, index): [string, string] => [id, `{doomed ${index + 1}}`]),
      ...this.restoreChain.map((id, index): [string, string] => [id, `{backup ${index + 1}}`]),
    ];
  }

  private get restored(): Backup['id'] | undefined {
    return this.restoreChain.at(-1);
  }

  private async demandContent(id: string): Promise<void> {
    const file = (target: string) =>
      join(this.bench.storage.path, backupFolder(this.bench.vm.uuid, id), volumeFile(this.bench.keys.get(target) ?? ''));
    await this.bench.demandDevice(file('vdb'), 'qcow2', this.model.pathOf(id), `backup ${id} of vdb`);
    const wrong = await this.model.wrongFilesIn(file('vda'), id);
    if (wrong.length > 0) throw new Error(`backup ${id} of vda does not hold what it must: ${wrong.join(', ')}`);
  }
}
