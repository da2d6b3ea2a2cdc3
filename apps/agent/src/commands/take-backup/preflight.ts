/**
 * TakeBackup's look before anything is touched: is the VM as the manager planned, and is there room? Owns the checks
 * and their errors; changes nothing.
 */
import type { ImageFormat, ObservedDisk, ObservedDomain, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import { layersNeeded, snapshotLost } from '../merge/observe-tree.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest, TakeBackupVolume } from '../requests.js';
import { demandOfflineNames } from '../shared/demand-offline-names.js';
import { demandSettledVm } from '../shared/demand-settled-vm.js';
import { decideFreeze } from '../shared/decide-freeze.js';
import { demandPrimarySpace, OVERLAY_HEADROOM_BYTES } from '../shared/primary-space.js';
import { parentDelta } from './parent-delta.js';

/** qcow2 tables, manifest and such, per volume on secondary. */
const SECONDARY_SLACK_BYTES = 8n << 20n;

export interface PlannedLayer {
  readonly path: string;
  readonly format: ImageFormat;
}

/** A volume as it was before the freeze. */
export interface PlannedVolume {
  readonly key: string;
  readonly target: string;
  /** From the layer that will be frozen on top down to the bottom. */
  readonly before: PlannedLayer[];
  /** The layers to copy, bottom first; undefined: everything, flattened. */
  readonly copyLayers: PlannedLayer[] | undefined;
  readonly sourceFormat: ImageFormat;
  readonly virtualSizeBytes: bigint;
  /** Upper estimate of what the copy writes. */
  readonly estimateBytes: bigint;
}

export interface Preflight {
  readonly volumes: PlannedVolume[];
  readonly running: boolean;
  /** Freeze the guest before the snapshot. */
  readonly freeze: boolean;
  readonly nvramPath: string | undefined;
  readonly warnings: string[];
}

/** The whole look. `usedByOthers`: every file that other VMs refer to. Throws the first thing that is wrong, named, with the way out. */
export async function preflight(
  ports: CommandPorts,
  request: TakeBackupRequest,
  domain: ObservedDomain,
  usedByOthers: ReadonlySet<string>,
): Promise<Preflight> {
  await demandSettledVm(ports, domain);
  demandOfflineNames(
    domain,
    request.volumes.map(({ target, newDeltaPath }) => ({ target, newPath: newDeltaPath })),
  );
  checkDisks(request, domain);
  const volumes = request.volumes.map((volume) => planVolume(request, volume, domain));
  await checkLayers(ports, request, domain, volumes);
  const [, , nvram, freeze] = await askedAtOnce([
    checkPaths(ports, request, volumes, usedByOthers),
    checkPrimarySpace(ports, request),
    lookAtNvram(ports, domain),
    decideFreeze(ports, { what: 'backup', quiesce: request.quiesce }, domain),
  ]);
  const warnings = [...nvram.warnings, ...freeze.warnings];
  return { volumes, running: domain.state !== 'shut-off', nvramPath: nvram.path, freeze: freeze.freeze, warnings };
}

/** A VM that was never started has no NVRAM file yet; one in a place that may not be touched is named before anything happens. */
async function lookAtNvram(
  ports: CommandPorts,
  domain: ObservedDomain,
): Promise<{ path: string | undefined; warnings: string[] }> {
  const path = domain.nvramPath;
  if (path === undefined || (await ports.files.stat(path)) !== undefined) return { path, warnings: [] };
  return { path: undefined, warnings: [`VM ${domain.name} has no NVRAM file at ${path} yet, so the backup holds none.`] };
}

function checkDisks(request: TakeBackupRequest, domain: ObservedDomain): void {
  for (const disk of domain.disks) {
    if (disk.refusal) throw HoldfastError.fromData(disk.refusal);
    if (!request.volumes.some((volume) => volume.target === disk.target)) {
      throw outdated(
        domain,
        disk.target,
        `VM ${domain.name} has a disk ${disk.target} that the plan does not know: it was attached a moment ago.`,
      );
    }
  }
}

function planVolume(request: TakeBackupRequest, volume: TakeBackupVolume, domain: ObservedDomain): PlannedVolume {
  const disk = domain.disks.find((candidate) => candidate.target === volume.target);
  if (disk === undefined) throw outdated(domain, volume.target, `VM ${domain.name} has no disk ${volume.target} any more.`);
  const [active] = disk.layers;
  if (active === undefined || active.path !== volume.activePath) {
    throw outdated(
      domain,
      volume.target,
      `Disk ${volume.target} of VM ${domain.name} now uses ${active?.path ?? 'no file'}, not ${volume.activePath}.`,
    );
  }
  const copied = layersToCopy(request, volume, disk, domain);
  return {
    key: volume.key,
    target: volume.target,
    before: disk.layers.map(({ path, format }) => ({ path, format })),
    copyLayers: copied && [...copied].reverse().map(({ path, format }) => ({ path, format })),
    sourceFormat: (disk.layers.at(-1) ?? active).format,
    virtualSizeBytes: disk.virtualSizeBytes,
    estimateBytes: (copied ?? disk.layers).reduce((sum, layer) => sum + layer.allocatedBytes, 0n),
  };
}

/** Every layer of ours is in the chain of its disk, or under a VM snapshot beside it; every snapshot has its layer. */
async function checkLayers(
  ports: CommandPorts,
  request: TakeBackupRequest,
  domain: ObservedDomain,
  volumes: readonly PlannedVolume[],
): Promise<void> {
  for (const [index, volume] of request.volumes.entries()) {
    const chain = volumes[index]?.before.map((layer) => layer.path) ?? [];
    const kept = volume.pins.length === 0 ? new Set<string>() : await layersNeeded(ports, domain, volume.pins);
    const lost = volume.pins.find((pin) => !kept.has(pin.path));
    if (lost !== undefined) throw snapshotLost(domain, volume.target, lost);
    const missing = volume.mergeDeltaPaths.find(
      (path) => path !== volume.newDeltaPath && !chain.includes(path) && !kept.has(path),
    );
    if (missing !== undefined)
      throw outdated(domain, volume.target, `Delta ${missing} is not in the chain of disk ${volume.target} any more.`);
  }
}

/** Top first, down to and with the parent's delta; undefined when the volume is copied in full. */
function layersToCopy(
  request: TakeBackupRequest,
  volume: TakeBackupVolume,
  disk: ObservedDisk,
  domain: ObservedDomain,
): ObservedLayer[] | undefined {
  const path = parentDelta(request, volume);
  if (path === undefined) return undefined;
  const index = disk.layers.findIndex((layer) => layer.path === path);
  const delta = disk.layers[index];
  if (delta === undefined || delta.inode !== volume.parentDeltaInode) {
    throw outdated(domain, volume.target, `The delta ${path} of disk ${volume.target} is gone or another file now.`);
  }
  if (index === disk.layers.length - 1) {
    throw new HoldfastError(
      'CHAIN_UNEXPLAINED',
      `The delta ${delta.path} of disk ${volume.target} has no backing file any more.`,
      {
        vmId: domain.uuid,
        target: volume.target,
        path: delta.path,
      },
    );
  }
  return disk.layers.slice(0, index + 1);
}

async function checkPaths(
  ports: CommandPorts,
  request: TakeBackupRequest,
  volumes: readonly PlannedVolume[],
  usedByOthers: ReadonlySet<string>,
): Promise<void> {
  const taken = await askedAtOnce(request.volumes.map(({ newDeltaPath }) => ports.files.stat(newDeltaPath)));
  for (const [index, volume] of request.volumes.entries()) {
    if (taken[index] !== undefined) {
      throw new HoldfastError('PLAN_OUTDATED', `The new delta ${volume.newDeltaPath} exists already.`, {
        path: volume.newDeltaPath,
        target: volume.target,
      });
    }
    // A merge writes into the layer below each merged one: no other VM may have either in its chain.
    const before = volumes[index]?.before.map((layer) => layer.path) ?? [];
    for (const path of volume.mergeDeltaPaths) {
      const place = before.indexOf(path);
      const below = path === volume.newDeltaPath ? before[0] : place === -1 ? undefined : before[place + 1];
      const shared = [path, below].find((candidate) => candidate !== undefined && usedByOthers.has(candidate));
      if (shared !== undefined) {
        throw new HoldfastError(
          'FILE_IN_USE',
          `${shared} is in the chain of another VM, so it must not be merged. Detach it there first.`,
          { path: shared },
        );
      }
    }
  }
}

async function checkPrimarySpace(ports: CommandPorts, request: TakeBackupRequest): Promise<void> {
  const files = request.volumes.map(({ newDeltaPath }) => ({ path: newDeltaPath, bytes: OVERLAY_HEADROOM_BYTES }));
  await demandPrimarySpace(ports, files, (needed) => `a backup needs ${needed} for new deltas. Make room, then try again.`);
}

/** The copy's estimated size against the storage's free space. */
export async function checkSecondarySpace(
  ports: CommandPorts,
  request: TakeBackupRequest,
  root: string,
  volumes: readonly PlannedVolume[],
): Promise<void> {
  const needed = volumes.reduce((sum, volume) => sum + volume.estimateBytes + SECONDARY_SLACK_BYTES, 0n);
  const { freeBytes } = await ports.files.space(root);
  if (freeBytes < needed) {
    throw new HoldfastError(
      'STORAGE_FULL',
      `Secondary storage "${request.storage.name}" has ${formatBytes(freeBytes)} free; this backup may need ${formatBytes(needed)}. Make room or choose another storage.`,
      { storageId: request.storage.id, freeBytes: String(freeBytes), neededBytes: String(needed) },
    );
  }
}

function outdated(domain: ObservedDomain, target: string, message: string): HoldfastError {
  return new HoldfastError('PLAN_OUTDATED', message, { vmId: domain.uuid, target });
}
