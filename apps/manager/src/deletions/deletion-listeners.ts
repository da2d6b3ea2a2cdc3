/** Whoever wants to act on what a deletion leaves behind. Owns the list; what is heard is heard in the deletion's transaction. */
import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';

/** Backups of a VM that became Removed and whose files stay for others. Runs with the VM's row locked. */
export type RemovedListener = (manager: EntityManager, vmId: string, removedBackupIds: readonly string[]) => Promise<void>;

@Injectable()
export class DeletionListeners {
  private readonly listeners: RemovedListener[] = [];

  /** Called once for each deletion that took something from sight; throwing takes the end of the deletion back. */
  onRemoved(listener: RemovedListener): void {
    this.listeners.push(listener);
  }

  async removed(manager: EntityManager, vmId: string, backupIds: readonly string[]): Promise<void> {
    if (backupIds.length === 0) return;
    for (const listener of this.listeners) await listener(manager, vmId, backupIds);
  }
}
