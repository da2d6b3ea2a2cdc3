/**
 * Checking a storage and the primary pools of its zone against the records, and removing what nobody needs, on demand.
 * Owns what may be removed. Each removal is proved once more by the agent that does it.
 */
import { Injectable } from '@nestjs/common';
import type { CleanStorage, StorageCheck, StorageCleaning } from '@holdfast/shared/api/storage.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StorageId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../../access/caller.js';
import type { RemovedStray } from '../../agents/agent-types.js';
import { AuditLog } from '../../events/audit-log.js';
import { errorView } from '../../inventory/vm-view.js';
import { Clock } from '../../platform/clock.js';
import { storageAccess } from '../storage-view.js';
import { findingId, findingView, isRemovable, type Finding } from './finding.js';
import { StorageJudge, type Judgement } from './storage-judge.js';

@Injectable()
export class StorageCheckService {
  constructor(
    private readonly judge: StorageJudge,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /** Looks and compares; writes nothing. HOST_UNAVAILABLE when no host of the zone can look; errors of the storage itself. */
  async check(caller: Caller, storageId: string): Promise<StorageCheck> {
    requireAdmin(caller, 'check storages');
    const { storage, entries, findings, notChecked } = await this.judge.of(storageId);
    const files = entries.filter((entry) => !entry.directory);
    return {
      storageId: storage.id as StorageId,
      checkedAt: this.clock.now().toISOString(),
      files: files.length,
      allocatedBytes: files.reduce((sum, file) => sum + file.allocatedBytes, 0n).toString(),
      findings: findings.map(findingView),
      notChecked: [...notChecked],
    };
  }

  /**
   * Removes the named findings and nothing else, after a new check still shows them. Refused as a whole, with nothing done:
   * NOT_FOUND for what a new check does not show, WRONG_STATE for what is never removed, HOST_UNAVAILABLE while a host of the
   * zone cannot say what it is working on and what its VMs use.
   */
  async clean(caller: Caller, storageId: string, { findings: wanted }: CleanStorage): Promise<StorageCleaning> {
    requireAdmin(caller, 'clean storages');
    const judgement = await this.judge.of(storageId);
    const chosen = choose(judgement, new Set(wanted));
    const [silent] = judgement.silent;
    if (silent !== undefined) throw silent;
    const removed = await this.remove(judgement, chosen);
    const cleaned = chosen.map((finding) => {
      const { freedBytes, kept } = removed.get(finding) ?? {
        freedBytes: 0n,
        kept: new HoldfastError('TOOL_FAILED', `The host did not say what became of ${finding.path}. Check again.`).toData(),
      };
      return {
        id: findingId(finding),
        path: finding.path,
        freedBytes: freedBytes.toString(),
        ...(kept === null ? {} : { kept: errorView(kept) }),
      };
    });
    const freedBytes = cleaned.reduce((sum, one) => sum + BigInt(one.freedBytes), 0n).toString();
    const gone = cleaned.filter((one) => one.kept === undefined).map(({ path }) => path);
    this.audit.changed(caller, 'storage.clean', { storageId, removed: gone.join(', '), freedBytes });
    return { cleaned, freedBytes };
  }

  private async remove(judgement: Judgement, chosen: readonly Finding[]): Promise<Map<Finding, RemovedStray>> {
    const { hosts, storage } = judgement;
    const removed = new Map<Finding, RemovedStray>();
    for (const [index, { row, agent }] of hosts.entries()) {
      // Every host reaches the storage: the first one works on it.
      const onStorage = index === 0 ? chosen.filter(({ hostId }) => hostId === undefined) : [];
      const onPrimary = chosen.filter(({ hostId }) => hostId === row.id);
      if (onStorage.length + onPrimary.length === 0) continue;
      const answers = await agent.removeStrays(
        storageAccess(storage),
        onStorage.map(({ path, kind }) => {
          const folder = kind === 'FolderWithoutManifest' || kind === 'DeletedBackup';
          return { path, folder, deletedBackup: kind === 'DeletedBackup' };
        }),
        onPrimary.map(({ path, inode }) => ({ path, inode: inode ?? 0n })),
      );
      for (const finding of [...onStorage, ...onPrimary]) {
        const answer = answers.find(({ path }) => path === finding.path);
        if (answer !== undefined) removed.set(finding, answer);
      }
    }
    return removed;
  }
}

/** The findings of these ids. NOT_FOUND, WRONG_STATE. */
function choose({ findings }: Judgement, wanted: ReadonlySet<string>): Finding[] {
  const chosen = findings.filter((finding) => wanted.has(findingId(finding)));
  const unknown = [...wanted].filter((id) => !chosen.some((finding) => findingId(finding) === id));
  if (unknown.length > 0)
    throw new HoldfastError(
      'NOT_FOUND',
      `A new check does not show ${unknown.join(', ')} any more: it is gone, is needed by now, or an operation is working on its VM. Nothing was removed; check again.`,
      { findings: unknown.join(',') },
    );
  const kept = chosen.find((finding) => !isRemovable(finding));
  if (kept !== undefined)
    throw new HoldfastError(
      'WRONG_STATE',
      `${findingId(kept)} is not removed by Holdfast: ${kept.message} Nothing was removed.`,
      {
        finding: findingId(kept),
        path: kept.path,
      },
    );
  return chosen;
}
