/**
 * What a storage holds against what is recorded. Owns who is asked and in which order: what is busy, the surveys, what is busy
 * by now, and only then the records, so that nothing that was made or ended meanwhile is judged. Writes nothing.
 */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentClient } from '../../agents/agent-client.js';
import type { SurveyedEntry } from '../../agents/agent-types.js';
import { AgentsService } from '../../agents/agents.service.js';
import { hostProblem } from '../../inventory/host-lookup.js';
import { BackupEntity } from '../../persistence/entities/backup.entities.js';
import { HostEntity } from '../../persistence/entities/inventory.entities.js';
import { StorageEntity } from '../../persistence/entities/storage.entity.js';
import { VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../../persistence/entities/vm-snapshot.entities.js';
import { SupersededFileEntity, VolumeDeltaEntity, VolumeEntity } from '../../persistence/entities/vm.entities.js';
import { Clock } from '../../platform/clock.js';
import { storageAccess } from '../storage-view.js';
import { comparePrimary } from './compare-primary.js';
import { compareStorage } from './compare-storage.js';
import type { Finding } from './finding.js';

interface ZoneHost {
  readonly row: HostEntity;
  readonly agent: AgentClient;
}

export interface Judgement {
  /** What was begun or ended since then on a VM is not judged. */
  readonly begun: Date;
  readonly storage: StorageEntity;
  readonly hosts: readonly ZoneHost[];
  /** Hosts of the zone that could not be asked. */
  readonly silent: readonly HoldfastError[];
  readonly entries: readonly SurveyedEntry[];
  /** Records of what is, or should be, on the storage; read last. */
  readonly backups: readonly BackupEntity[];
  readonly busyVmIds: ReadonlySet<string>;
  readonly findings: readonly Finding[];
  readonly notChecked: readonly string[];
}

@Injectable()
export class StorageJudge {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly clock: Clock,
  ) {}

  /** NOT_FOUND; HOST_UNAVAILABLE when no host of the zone can look; errors of the storage itself. */
  async of(storageId: string): Promise<Judgement> {
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
    const workBefore = await Promise.all(hosts.map(({ agent }) => agent.unfinished()));
    const entries = await first.agent.surveyStorage(storageAccess(storage));
    const primary = await Promise.all(
      hosts.map(async ({ row, agent }) => ({ id: row.id, name: row.name, ...(await agent.surveyPrimary()) })),
    );
    const inChains = new Map<string, string>();
    for (const domains of await Promise.all(hosts.map(({ agent }) => agent.listDomains([])))) {
      for (const { name, disks } of domains)
        for (const { layers } of disks) for (const { path } of layers) inChains.set(path, name);
    }
    const workAfter = await Promise.all(hosts.map(({ agent }) => agent.unfinished()));
    const work = [...workBefore.flat(), ...workAfter.flat()];
    const beingMade = work.some(({ makesPrimaryFiles }) => makesPrimaryFiles);
    const busyVmIds = new Set([...work.map(({ vmId }) => vmId), ...(await this.vmsWorkedOnSince(begun))]);
    const backups = await manager.findBy(BackupEntity, { storageId });
    return {
      ...{ begun, storage, hosts, silent, entries, backups, busyVmIds },
      findings: [
        ...compareStorage({ storageId, entries, backups, busyVmIds }),
        ...comparePrimary({ hosts: primary, inChains, beingMade, ...(await this.knownPaths()) }),
      ],
      notChecked: [
        ...silent.map((error) => `Layers on a host that cannot be asked: ${error.message}`),
        ...primary.flatMap(({ name, silentPools }) => silentPools.map((pool) => `Pool ${pool} of ${name} does not answer.`)),
        ...(beingMade
          ? ['Restored and partial files on primary storage: a restore or revert is at work. Check again later.']
          : []),
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
