/**
 * RevertVmSnapshot's look before anything is touched: is the VM stopped and as the manager planned, and is the layer that
 * holds the snapshot there, whole down to a layer of the disk's own chain? Owns the checks and their errors.
 */
import type { ImageFormat, ObservedDisk, ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { RevertVmSnapshotRequest, RevertVmSnapshotVolume } from '../requests.js';
import { demandNoSavedState } from '../shared/saved-state.js';
import { demandUnchangedDisks } from '../shared/demand-unchanged-disks.js';
import { diskOf, observeExisting } from '../shared/observe-settled.js';
import { demandPrimarySpace, OVERLAY_HEADROOM_BYTES } from '../shared/primary-space.js';

/** What a new overlay over a pinned layer needs to know of it (a type, not an interface: it is also JSON). */
export type PinnedFacts = { readonly backingFormat: ImageFormat; /** Bytes, decimal. */ readonly virtualSize: string };

/** Target → facts of its pinned layer. Throws the first thing that is wrong, named, with the way out. */
export async function preflight(
  ports: CommandPorts,
  request: RevertVmSnapshotRequest,
  context: StepContext,
): Promise<Record<string, PinnedFacts>> {
  const domain = await observeExisting(ports, request.header.vmUuid, context.log);
  if (domain.state !== 'shut-off') {
    throw new HoldfastError('VM_RUNNING', `VM ${domain.name} is running. Stop it (virsh shutdown), then revert again.`, {
      vmId: domain.uuid,
    });
  }
  for (const { target } of request.volumes) {
    const { refusal } = diskOf(domain, target);
    if (refusal) throw HoldfastError.fromData(refusal);
  }
  demandUnchangedDisks(domain, request.volumes);
  await demandNoSavedState(ports, domain);
  const pinned: Record<string, PinnedFacts> = {};
  for (const volume of request.volumes) {
    if ((await ports.files.stat(volume.newOverlayPath)) !== undefined) {
      throw new HoldfastError('PLAN_OUTDATED', `The new overlay ${volume.newOverlayPath} exists already.`, {
        path: volume.newOverlayPath,
        target: volume.target,
      });
    }
    pinned[volume.target] = await pinnedFacts(ports, domain, diskOf(domain, volume.target), volume);
  }
  const files = request.volumes.map(({ newOverlayPath }) => ({ path: newOverlayPath, bytes: OVERLAY_HEADROOM_BYTES }));
  await demandPrimarySpace(ports, files, (needed) => `a revert needs ${needed} for new overlays. Make room, then try again.`);
  return pinned;
}

/**
 * Every layer of a volume, in whatever branch, lies over the same bottom. So a pinned layer that is not in the disk's chain
 * is an overlay (qcow2) whose headers lead into that chain; one that leads elsewhere is not a layer of this disk any more.
 */
async function pinnedFacts(
  ports: CommandPorts,
  domain: ObservedDomain,
  disk: ObservedDisk,
  volume: RevertVmSnapshotVolume,
): Promise<PinnedFacts> {
  const own = new Map(disk.layers.map((layer) => [layer.path, layer]));
  const listed = domain.snapshots.flatMap(({ disks }) => disks).find(({ pinnedPath }) => pinnedPath === volume.pinnedPath);
  const format = own.get(volume.pinnedPath)?.format ?? listed?.pinnedFormat ?? 'qcow2';
  await demandPresent(ports, domain, volume, volume.pinnedPath);
  const top = await ports.images.info(volume.pinnedPath, format);
  const seen = new Set<string>([volume.pinnedPath]);
  let layer = top;
  while (!own.has(layer.path)) {
    const { backingPath, backingFormat } = layer;
    if (backingPath === undefined || backingFormat === undefined || seen.has(backingPath)) {
      throw new HoldfastError(
        'WRONG_STATE',
        `Disk ${volume.target} of VM ${domain.name} was replaced since the snapshot: ${volume.pinnedPath} does not lie on ${[...own.keys()].at(-1)}. The snapshot can only be deleted.`,
        { vmId: domain.uuid, target: volume.target, path: volume.pinnedPath },
      );
    }
    seen.add(backingPath);
    await demandPresent(ports, domain, volume, backingPath);
    layer = await ports.images.info(backingPath, backingFormat);
  }
  if (!own.has(volume.pinnedPath) && (await ports.images.isLocked(volume.pinnedPath, format))) {
    throw new HoldfastError(
      'IMAGE_LOCKED',
      `The layer of the snapshot, ${volume.pinnedPath}, is open in a running process. End it, then revert again.`,
      { path: volume.pinnedPath, vmId: domain.uuid, target: volume.target },
    );
  }
  return { backingFormat: format, virtualSize: String(top.virtualSizeBytes) };
}

async function demandPresent(
  ports: CommandPorts,
  domain: ObservedDomain,
  volume: RevertVmSnapshotVolume,
  path: string,
): Promise<void> {
  if ((await ports.files.stat(path)) !== undefined) return;
  throw new HoldfastError(
    'BACKING_FILE_MISSING',
    `The snapshot of disk ${volume.target} of VM ${domain.name} needs the layer ${path}, which is gone. The VM is unchanged.`,
    { path: volume.pinnedPath, layer: path, vmId: domain.uuid, target: volume.target },
  );
}
