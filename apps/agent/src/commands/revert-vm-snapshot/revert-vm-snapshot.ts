/**
 * RevertVmSnapshot, of a whole VM or of single volumes. Owns the order of its steps:
 *
 *   preflight → overlay (per volume: a new, empty one over the layer that holds the snapshot) → switch (one define) →
 *   [point of no return] → each volume is settled: what nobody needs of the old branch goes
 *
 * Invariants: no existing file is written, renamed or deleted before the definition names the new overlays; the layer that
 * holds the snapshot is never written to, so that one can revert to it again.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, Outcome, StepContext, Undone } from '../../operations/command.js';
import { mergeOrPostpone } from '../merge/merge-or-postpone.js';
import type { CommandPorts } from '../ports.js';
import type { RevertVmSnapshotRequest, RevertVmSnapshotResult } from '../requests.js';
import { replaceDiskSources, stripBackingStore } from '../../hypervisor/domain-xml.js';
import { bigintJson } from '../shared/bigint-json.js';
import { withHypervisor } from '../shared/observe-settled.js';
import { switchDefinition, undoSwitch, type SwitchWish } from '../shared/switch-definition.js';
import { createOverlay } from './create-overlay.js';
import { preflight } from './preflight.js';

export function revertVmSnapshotCommand(ports: CommandPorts): Command<RevertVmSnapshotRequest, RevertVmSnapshotResult> {
  return {
    kind: 'RevertVmSnapshot',
    codec: bigintJson<RevertVmSnapshotRequest>(),
    resultCodec: bigintJson<RevertVmSnapshotResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: (request, context) => undo(ports, request, context),
  };
}

async function run(
  ports: CommandPorts,
  request: RevertVmSnapshotRequest,
  context: StepContext,
): Promise<Outcome<RevertVmSnapshotResult>> {
  const { vmUuid } = request.header;
  const pinned = await context.step('preflight', '', {}, () => preflight(ports, request, context));
  const inodes = new Map<string, string>();
  for (const volume of request.volumes) {
    const { target, newOverlayPath, pinnedPath } = volume;
    const facts = pinned[target];
    if (facts === undefined) throw new HoldfastError('BUG', `Nothing was found out about the layer ${pinnedPath}.`);
    const intent = { path: newOverlayPath, backing: pinnedPath, ...facts };
    const { inode } = await context.step('overlay', target, intent, (wish) => createOverlay(ports, wish));
    inodes.set(target, inode);
  }
  if (!context.pastPointOfNoReturn) {
    await switchToOverlays(ports, request, context);
    await context.pointOfNoReturn();
  }
  const settled = request.volumes.map((volume) => volume.settle);
  const { pending, changes } = await mergeOrPostpone(ports, context, vmUuid, settled);
  const volumes = request.volumes.map(({ key, target, newOverlayPath }) => ({
    key,
    target,
    overlayPath: newOverlayPath,
    overlayInode: BigInt(inodes.get(target) ?? 0),
  }));
  return { result: { volumes, changes }, vmOutcome: pending ? 'MergePending' : 'AsAfter' };
}

async function switchToOverlays(ports: CommandPorts, request: RevertVmSnapshotRequest, context: StepContext): Promise<void> {
  const wish = switchWish(request);
  const oldXml = await withHypervisor(ports, () => ports.hypervisor.domainXml(request.header.vmUuid, 'persistent'));
  const sources = wish.volumes.map(({ target, newPath }) => ({ target, path: newPath, format: 'qcow2' as const }));
  const xml = { oldXml, newXml: stripBackingStore(replaceDiskSources(oldXml, sources)) };
  await context.step('switch', '', xml, async (intent) => {
    await switchDefinition(ports, wish, context, intent);
    return null;
  });
}

/** The VM keeps its layers; the new overlays go, once nothing refers to them. */
async function undo(
  ports: CommandPorts,
  request: RevertVmSnapshotRequest,
  context: StepContext,
): Promise<Undone<RevertVmSnapshotResult>> {
  const intent = context.recorded('switch')?.intent as { oldXml: string } | undefined;
  const wish = switchWish(request);
  const begun = wish.volumes.filter(({ target }) => context.recorded('overlay', target) !== undefined);
  await undoSwitch(ports, { ...wish, volumes: begun }, context, intent?.oldXml);
  return { vmOutcome: 'AsBefore' };
}

function switchWish(request: RevertVmSnapshotRequest): SwitchWish {
  const volumes = request.volumes.map(({ target, currentPath, newOverlayPath }) => ({
    ...{ target, currentPath },
    newPath: newOverlayPath,
  }));
  return { header: request.header, what: 'revert', volumes };
}
