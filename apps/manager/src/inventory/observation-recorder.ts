/**
 * Writes down what agents see of VMs and their disks, whoever asked them. Owns the records of volumes; what an operation did
 * is written by the operation's handler, under the same lock on the VM's row.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, In, Not, type EntityManager, type FindOptionsWhere } from 'typeorm';
import type { QueryDeepPartialEntity } from 'typeorm/query-builder/QueryPartialEntity.js';
import { primaryFileKind } from '@holdfast/shared/chain/layer-names.js';
import type { ErrorCode } from '@holdfast/shared/errors/error-codes.js';
import type { SeenDisk, SeenDomain } from '../agents/agent-types.js';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { HostEntity, type HostState } from '../persistence/entities/inventory.entities.js';
import { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import {
  SupersededFileEntity,
  VmEntity,
  VolumeDeltaEntity,
  VolumeEntity,
  type StoredLayer,
  type StoredLibvirtSnapshot,
} from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import { readPins } from '../primary/pins.js';
import { untrackDeltas } from '../primary/untrack.js';
import { libvirtSnapshotId } from './libvirt-snapshot-id.js';
import { isTaken } from './choose-host.js';
import { matchVolumes, type SeenDiskFacts } from './match-volumes.js';
import { StartGuards } from './start-guards.js';
import { lockVm } from './vm-lookup.js';

type WatchedHost = Pick<HostEntity, 'id' | 'zoneId'>;
/** How a host is. `code`: what the attempt to reach it failed with. */
export interface SeenHostState {
  readonly state: HostState;
  readonly reason: string | null;
  readonly code: ErrorCode | null;
}
interface SeenWithPaths extends SeenDiskFacts {
  readonly disk: SeenDisk;
}

@Injectable()
export class ObservationRecorder {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly guards: StartGuards,
  ) {}

  /** Records one VM as its host sees it now. */
  async record(host: WatchedHost, seen: SeenDomain): Promise<void> {
    const isNews = await this.dataSource.transaction(async (manager) => {
      await this.ensureVm(manager, host, seen);
      const vm = await lockVm(manager, seen.uuid);
      if (!isTaken(vm, host.id, seen.state)) return false;
      await manager.update(
        VmEntity,
        { id: vm.id },
        {
          hostId: host.id,
          zoneId: host.zoneId,
          name: seen.name,
          powerState: seen.state,
          guestAgent: seen.guestAgent,
          problems: [...seen.problems] as object[],
          libvirtSnapshots: storedSnapshots(seen),
          seenAt: this.clock.now(),
        },
      );
      return this.recordVolumes(manager, vm, seen);
    });
    if (isNews) void this.guards.tellSeen(seen.uuid);
  }

  /** The host says that it has exactly these VMs: others that were last seen there are gone. Returns the ids of those. */
  async recordAll(host: WatchedHost, domains: readonly SeenDomain[]): Promise<string[]> {
    for (const domain of domains) await this.record(host, domain);
    const uuids = domains.map((domain) => domain.uuid);
    const known = await this.dataSource.manager.find(VmEntity, {
      select: { id: true },
      where: { hostId: host.id, powerState: Not('Gone'), ...(uuids.length === 0 ? {} : { id: Not(In(uuids)) }) },
    });
    return this.recordGone(
      host,
      known.map((vm) => vm.id),
    );
  }

  /**
   * libvirt of this host does not know these VMs any more. Another host that has one keeps it. Returns the ids of those
   * that are gone by this.
   */
  async recordGone(host: WatchedHost, uuids: readonly string[]): Promise<string[]> {
    if (uuids.length === 0) return [];
    return this.dataSource.transaction((manager) =>
      changeMany(
        manager,
        { id: In([...uuids]), hostId: host.id, powerState: Not('Gone') },
        { powerState: 'Gone', guestAgent: false, problems: [] },
      ),
    );
  }

  /**
   * How a host is from now on. Nobody knows how the VMs of one that does not answer are: that is written with it, so that none
   * is shown as running on a host that is down, whoever dies in between.
   */
  async recordHostState(hostId: string, seen: SeenHostState): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      if (seen.state !== 'Up') await changeMany(manager, { hostId, powerState: Not('Gone') }, { powerState: 'Unknown' });
      await manager.update(HostEntity, { id: hostId }, { state: seen.state, stateReason: seen.reason, stateCode: seen.code });
    });
  }

  private async ensureVm(manager: EntityManager, host: WatchedHost, seen: SeenDomain): Promise<void> {
    await manager
      .createQueryBuilder()
      .insert()
      .into(VmEntity)
      .values({
        id: seen.uuid,
        zoneId: host.zoneId,
        hostId: host.id,
        name: seen.name,
        powerState: seen.state,
        protectionState: 'Ok',
        guestAgent: seen.guestAgent,
        problems: [],
        settings: {},
        libvirtSnapshots: [],
      })
      .orIgnore()
      .execute();
  }

  /**
   * `vm`: as it was known before this observation. True when other hosts are to hear of it: a volume is on other layers than
   * before, or the VM with layers of ours runs now, so that what it is on is certain.
   */
  private async recordVolumes(manager: EntityManager, vm: VmEntity, { disks, state }: SeenDomain): Promise<boolean> {
    const vmId = vm.id;
    const volumes = await manager.findBy(VolumeEntity, { vmId });
    const deltas = await manager.findBy(VolumeDeltaEntity, { vmId });
    const overlays = await manager.findBy(VolumeOverlayEntity, { vmId });
    const held = await manager.findBy(VmSnapshotVolumeEntity, { volumeId: In(volumes.map((volume) => volume.id)) });
    const known = volumes.map((volume) => ({
      ...volume,
      activePath: volume.layers[0]?.path,
      ownPaths: [
        ...[...deltas, ...overlays].filter((layer) => layer.volumeId === volume.id).map((layer) => layer.path),
        ...held.filter((layer) => layer.volumeId === volume.id).map((layer) => layer.pinnedPath),
      ],
    }));
    const seen: SeenWithPaths[] = disks.map((disk) => ({ ...disk, paths: disk.layers.map((layer) => layer.path), disk }));
    const { matches, added, missing } = matchVolumes(known, seen);

    for (const {
      volumeId,
      disk: { disk },
      kind,
    } of matches) {
      const now = { target: disk.target, serial: disk.serial, attached: true, format: disk.format, refusal: disk.refusal };
      switch (kind) {
        case 'unreadable':
          await manager.update(VolumeEntity, { id: volumeId }, now as object);
          break;
        case 'same':
          await manager.update(VolumeEntity, { id: volumeId }, {
            ...now,
            virtualSizeBytes: disk.virtualSizeBytes,
            layers: storedLayers(disk),
            ...restoredFiles(
              disk,
              volumes.find(({ id }) => id === volumeId),
            ),
          } as object);
          // What is in the chain again is in no branch beside it.
          await manager.update(
            VolumeOverlayEntity,
            { volumeId, branch: true, path: In(disk.layers.map((layer) => layer.path)) },
            { branch: false },
          );
          break;
        case 'moved':
          await manager.update(VolumeEntity, { id: volumeId }, {
            ...now,
            virtualSizeBytes: disk.virtualSizeBytes,
            layers: storedLayers(disk),
            ...ownFiles(disk),
          } as object);
          await this.leaveLayers(manager, vm, volumes.find(({ id }) => id === volumeId)?.layers ?? [], volumeId, disk);
          break;
      }
    }
    for (const { disk } of added) await this.addVolume(manager, vmId, disk);
    if (missing.length > 0) await manager.update(VolumeEntity, { id: In([...missing]) }, { attached: false });
    const before = (id: string): StoredLayer[] | undefined => volumes.find((volume) => volume.id === id)?.layers;
    if (state === 'Running' && vm.powerState !== 'Running' && deltas.length + overlays.length > 0) return true;
    return matches.some(({ volumeId, disk, kind }) => kind !== 'unreadable' && !samePaths(before(volumeId), disk.paths));
  }

  /**
   * The volume has files of its own elsewhere now; its former layers stay where they were, listed, so that their owner can
   * release them. Nobody knows how that came: the volume may have been moved, or the VM was undefined and another one defined
   * with its UUID, and then the newest of them holds what the old one wrote last. So each goes only when it is named. While a
   * snapshot holds any of them, none is offered for release, and none is judged.
   */
  private async leaveLayers(
    manager: EntityManager,
    vm: VmEntity,
    former: readonly StoredLayer[],
    volumeId: string,
    disk: SeenDisk,
  ): Promise<void> {
    const deltas = await manager.findBy(VolumeDeltaEntity, { volumeId });
    if ((await readPins(manager, vm.id)).has(volumeId)) return untrackDeltas(manager, deltas, false);
    const overlays = await manager.findBy(VolumeOverlayEntity, { volumeId });
    const backups = await manager.findBy(BackupEntity, { id: In(deltas.map((delta) => delta.backupId)) });
    const restores = await manager.findBy(OperationEntity, { vmId: vm.id, kind: 'RestoreBackup' });
    const left = [
      // A disk that a restore made is in no other record; unlisted it would look like one that nobody needs.
      ...former
        .filter(({ path }) => primaryFileKind(path) === 'restored')
        .map(({ path }) => ({
          path,
          operationId: restores.find(({ id }) => path.includes(`.${id.slice(0, 8)}.`))?.id ?? volumeId,
        })),
      ...overlays.map(({ id, path, operationId }) => ({ path, operationId: operationId ?? id })),
      ...deltas.map(({ path, backupId }) => ({
        path,
        operationId: backups.find(({ id }) => id === backupId)?.operationId ?? backupId,
      })),
    ].filter((file) => !disk.layers.some((layer) => layer.path === file.path));
    const { hostId } = vm;
    if (hostId !== null && left.length > 0) {
      await manager.insert(
        SupersededFileEntity,
        left.map((file) => ({
          ...{ ...file, id: this.clock.newId(), vmId: vm.id, volumeId, hostId },
          ...{ byNameOnly: true, supersededAt: this.clock.now() },
        })),
      );
    }
    await manager.delete(VolumeDeltaEntity, { volumeId });
    await manager.delete(VolumeOverlayEntity, { volumeId });
  }

  private async addVolume(manager: EntityManager, vmId: string, disk: SeenDisk): Promise<void> {
    await manager.insert(VolumeEntity, {
      id: this.clock.newId(),
      vmId,
      target: disk.target,
      serial: disk.serial,
      attached: true,
      format: disk.format,
      virtualSizeBytes: disk.virtualSizeBytes,
      layers: storedLayers(disk),
      ...ownFiles(disk),
      refusal: disk.refusal as object | null,
    } as object);
  }
}

/** Locks in the order of ids, as everybody who locks more than one VM: no two wait for each other. Returns the ids. */
async function changeMany(
  manager: EntityManager,
  where: FindOptionsWhere<VmEntity>,
  values: QueryDeepPartialEntity<VmEntity>,
): Promise<string[]> {
  const lock = { mode: 'pessimistic_write' as const };
  const rows = await manager.find(VmEntity, { select: { id: true }, where, order: { id: 'ASC' }, lock });
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await manager.update(VmEntity, { id: In(ids) }, values);
  return ids;
}

/** The active layer at first sight is the volume's own base; what is below it is a template. */
function ownFiles(disk: SeenDisk): { basePath: string; templatePath: string | null } {
  return { basePath: disk.layers[0]?.path ?? '', templatePath: disk.layers[1]?.path ?? null };
}

/** A restore has switched the disk to its new file, whether or not its agent could say so. */
function restoredFiles(disk: SeenDisk, volume: VolumeEntity | undefined): { basePath?: string; templatePath?: null } {
  const seen = (path: string): boolean => disk.layers.some((layer) => layer.path === path);
  if (volume === undefined || volume.intendedPath === null || seen(volume.basePath) || !seen(volume.intendedPath)) return {};
  return { basePath: volume.intendedPath, templatePath: null };
}

function storedSnapshots(seen: SeenDomain): StoredLibvirtSnapshot[] {
  return seen.snapshots.map(({ name, parentName, createdAtUnixMs, current, foreignKind, disks }) => ({
    id: libvirtSnapshotId(seen.uuid, name),
    name,
    parentName,
    createdAt: new Date(Number(createdAtUnixMs)).toISOString(),
    current,
    foreignKind,
    disks: disks.map(({ target, pinnedPath, overlayPath }) => ({ target, pinnedPath, overlayPath })),
  }));
}

function samePaths(before: readonly StoredLayer[] | undefined, paths: readonly string[]): boolean {
  return before !== undefined && before.length === paths.length && before.every(({ path }, at) => path === paths[at]);
}

function storedLayers(disk: SeenDisk): StoredLayer[] {
  return disk.layers.map((layer) => ({
    path: layer.path,
    format: layer.format,
    inode: layer.inode.toString(),
    virtualSizeBytes: layer.virtualSizeBytes.toString(),
    allocatedBytes: layer.allocatedBytes.toString(),
  }));
}
