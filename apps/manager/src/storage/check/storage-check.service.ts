/**
 * Checking a storage and the primary pools of its zone against the records, and removing what nobody needs, on demand.
 * Owns who is asked and in which order: what is busy, the surveys, what is busy by now, and only then the records, so that
 * nothing that was made or ended meanwhile is judged. Each removal is proved once more by the agent that does it.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { CleanStorage, StorageCheck, StorageCleaning } from '@holdfast/shared/api/storage.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StorageId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../../access/caller.js';
import type { AgentClient } from '../../agents/agent-client.js';
import type { RemovedStray, SurveyedEntry } from '../../agents/agent-types.js';
import { AgentsService } from '../../agents/agents.service.js';
import { AuditLog } from '../../events/audit-log.js';
import { hostProblem } from '../../inventory/host-lookup.js';
import { errorView } from '../../inventory/vm-view.js';
import { BackupEntity } from '../../persistence/entities/backup.entities.js';
import { HostEntity } from '../../persistence/entities/inventory.entities.js';
import { StorageEntity } from '../../persistence/entities/storage.entity.js';
import { VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../../persistence/entities/vm-snapshot.entities.js';
import { SupersededFileEntity, VolumeDeltaEntity, VolumeEntity } from '../../persistence/entities/vm.entities.js';
import { Clock } from '../../platform/clock.js';
import { storageAccess } from '../storage-view.js';
import { comparePrimary } from './compare-primary.js';
import { compareStorage } from './compare-storage.js';
import { findingId, findingView, isRemovable, type Finding } from './finding.js';

interface ZoneHost {
  readonly row: HostEntity;
  readonly agent: AgentClient;
}

interface Judgement {
  readonly storage: StorageEntity;
  readonly hosts: readonly ZoneHost[];
  /** Hosts of the zone that could not be asked. */
  readonly silent: readonly HoldfastError[];
  readonly entries: readonly SurveyedEntry[];
  readonly findings: readonly Finding[];
  readonly notChecked: readonly string[];
}

@Injectable()
export class StorageCheckService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /** Looks and compares; writes nothing. HOST_UNAVAILABLE when no host of the zone can look; errors of the storage itself. */
  async check(caller: Caller, storageId: string): Promise<StorageCheck> {
    requireAdmin(caller, 'check storages');
    const { storage, entries, findings, notChecked } = await this.judge(storageId);
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
    const judgement = await this.judge(storageId);
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

  private async judge(storageId: string): Promise<Judgement> {
    const { manager } = this.dataSource;
    const storage = await manager.findOneBy(StorageEntity, { id: storageId });
    if (storage === null)
      throw new HoldfastError('NOT_FOUND', `There is no storage ${storageId}. List the storages to see their ids.`, {
        storageId,
      });
    const begun = this.clock.now();
    const { hosts, silent } = await this.hostsOf(storage.zoneId);
    const [first] = hosts;
    if (first === undefined) {
      throw (
        silent[0] ??
        new HoldfastError('HOST_UNAVAILABLE', 'The zone has no host that could look at the storage. Let one join.', { storageId })
      );
    }
    const busyBefore = await Promise.all(hosts.map(({ agent }) => agent.busyVmIds()));
    const entries = await first.agent.surveyStorage(storageAccess(storage));
    const primary = await Promise.all(
      hosts.map(async ({ row, agent }) => ({ id: row.id, name: row.name, ...(await agent.surveyPrimary()) })),
    );
    const inChains = new Map<string, string>();
    for (const domains of await Promise.all(hosts.map(({ agent }) => agent.listDomains([])))) {
      for (const { name, disks } of domains)
        for (const { layers } of disks) for (const { path } of layers) inChains.set(path, name);
    }
    const busyAfter = await Promise.all(hosts.map(({ agent }) => agent.busyVmIds()));
    const busyVmIds = new Set([...busyBefore.flat(), ...busyAfter.flat(), ...(await this.vmsWorkedOnSince(begun))]);
    const backups = await manager.findBy(BackupEntity, { storageId });
    return {
      storage,
      hosts,
      silent,
      entries,
      findings: [
        ...compareStorage({ storageId, entries, backups, busyVmIds }),
        ...comparePrimary({ hosts: primary, inChains, ...(await this.knownPaths()) }),
      ],
      notChecked: [
        ...silent.map((error) => `Layers on a host that cannot be asked: ${error.message}`),
        ...primary.flatMap(({ name, silentPools }) => silentPools.map((pool) => `Pool ${pool} of ${name} does not answer.`)),
        ...[...busyVmIds].map((vmId) => `Backups of VM ${vmId}: an operation is, or just was, working on it. Check again later.`),
      ],
    };
  }

  /** The hosts of a zone that answer, and why the others do not. A host that is disabled still answers. */
  private async hostsOf(zoneId: string): Promise<{ hosts: ZoneHost[]; silent: HoldfastError[] }> {
    const rows = await this.dataSource.manager.find(HostEntity, { where: { zoneId }, order: { name: 'ASC' } });
    const hosts: ZoneHost[] = [];
    const silent: HoldfastError[] = [];
    for (const row of rows) {
      const problem = row.state === 'Up' ? undefined : hostProblem(row);
      if (problem !== undefined) silent.push(problem);
      else hosts.push({ row, agent: await this.agents.of(row) });
    }
    return { hosts, silent };
  }

  private async vmsWorkedOnSince(begun: Date): Promise<string[]> {
    const rows = await this.dataSource.query<{ vm_id: string }[]>(
      `SELECT DISTINCT vm_id FROM operation WHERE finished_at IS NULL OR finished_at >= $1`,
      [begun],
    );
    return rows.map((row) => row.vm_id);
  }

  private async knownPaths(): Promise<{ recorded: Set<string>; lastSeen: Set<string> }> {
    const { manager } = this.dataSource;
    const [deltas, overlays, pins, superseded, volumes] = await Promise.all([
      manager.find(VolumeDeltaEntity, { select: { path: true } }),
      manager.find(VolumeOverlayEntity, { select: { path: true } }),
      manager.find(VmSnapshotVolumeEntity, { select: { pinnedPath: true } }),
      manager.find(SupersededFileEntity, { select: { path: true } }),
      manager.find(VolumeEntity, { select: { basePath: true, intendedPath: true, layers: true } }),
    ]);
    const recorded = [...deltas, ...overlays, ...superseded]
      .map(({ path }) => path)
      .concat(pins.map(({ pinnedPath }) => pinnedPath))
      .concat(volumes.flatMap((one) => [one.basePath, one.intendedPath ?? '']));
    return {
      recorded: new Set(recorded),
      lastSeen: new Set(volumes.flatMap(({ layers }) => layers.map(({ path }) => path))),
    };
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
