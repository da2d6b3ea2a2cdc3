/**
 * TakeVmSnapshot. Owns the order of its steps:
 *
 *   preflight → freeze (when wished) → snapshot (one atomic snapshot of the named disks) → thaw → look →
 *   [point of no return] → sync (each new overlay) → finish
 *
 * Nothing is copied: what was the active layer of a disk holds the snapshot's content from then on, and the guest writes to a
 * new overlay. libvirt keeps no record of it. Until the point of no return everything is taken back by merging the overlays.
 */
import { dirname } from 'node:path';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeVmSnapshotRequest, TakeVmSnapshotResult } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { decideFreeze } from '../shared/decide-freeze.js';
import { demandOfflineNames } from '../shared/demand-offline-names.js';
import { demandSettledVm } from '../shared/demand-settled-vm.js';
import { observeExisting } from '../shared/observe-settled.js';
import { demandPrimarySpace, OVERLAY_HEADROOM_BYTES } from '../shared/primary-space.js';
import { lookAfterMoment, takeMoment, type FreezeRecord, type MomentWish, type NewLayers } from '../shared/take-moment.js';
import { undoMoment } from '../shared/undo-moment.js';

export function takeVmSnapshotCommand(ports: CommandPorts): Command<TakeVmSnapshotRequest, TakeVmSnapshotResult> {
  return {
    kind: 'TakeVmSnapshot',
    codec: bigintJson<TakeVmSnapshotRequest>(),
    resultCodec: bigintJson<TakeVmSnapshotResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: (request, context) => {
      // What was active before the moment held no snapshot: nothing else can be pinned there.
      const disks = request.volumes.map(({ target, newOverlayPath }) => ({ target, newPath: newOverlayPath, pins: [] }));
      return undoMoment(ports, context, request.header.vmUuid, disks);
    },
  };
}

async function run(
  ports: CommandPorts,
  request: TakeVmSnapshotRequest,
  context: StepContext,
): Promise<Outcome<TakeVmSnapshotResult>> {
  const { header, quiesce, freezeBudgetMs } = request;
  const { freeze } = await context.step('preflight', '', {}, () => preflight(ports, request, context));
  if (!context.pastPointOfNoReturn) {
    const disks = request.volumes.map(({ target, newOverlayPath }) => ({ target, newPath: newOverlayPath }));
    const wish: MomentWish = { header, what: 'snapshot', quiesce, freezeBudgetMs, freeze, disks };
    await takeMoment(ports, wish, context);
    await lookAfterMoment(ports, wish, context);
    await context.pointOfNoReturn();
  }
  for (const { target, newOverlayPath } of request.volumes) {
    await context.step('sync', target, { path: newOverlayPath }, async ({ path }) => {
      await ports.files.sync([path, dirname(path)]);
      return null;
    });
  }
  return { result: resultOf(request, context), vmOutcome: 'AsAfter' };
}

async function preflight(
  ports: CommandPorts,
  request: TakeVmSnapshotRequest,
  context: StepContext,
): Promise<{ freeze: boolean }> {
  const domain = await observeExisting(ports, request.header.vmUuid, context.log);
  await demandSettledVm(ports, domain);
  demandOfflineNames(
    domain,
    request.volumes.map(({ target, newOverlayPath }) => ({ target, newPath: newOverlayPath })),
  );
  for (const volume of request.volumes) checkDisk(domain, volume);
  for (const { target, newOverlayPath } of request.volumes) {
    if ((await ports.files.stat(newOverlayPath)) === undefined) continue;
    throw new HoldfastError('PLAN_OUTDATED', `The new overlay ${newOverlayPath} exists already.`, {
      path: newOverlayPath,
      target,
    });
  }
  const files = request.volumes.map(({ newOverlayPath }) => ({ path: newOverlayPath, bytes: OVERLAY_HEADROOM_BYTES }));
  await demandPrimarySpace(ports, files, (needed) => `a snapshot needs ${needed} for new overlays. Make room, then try again.`);
  const { freeze, warnings } = await decideFreeze(ports, { what: 'snapshot', quiesce: request.quiesce }, domain);
  for (const warning of warnings) context.warn(warning);
  return { freeze };
}

function checkDisk(domain: ObservedDomain, volume: TakeVmSnapshotRequest['volumes'][number]): void {
  const { target, activePath } = volume;
  const disk = domain.disks.find((candidate) => candidate.target === target);
  if (disk?.refusal) throw HoldfastError.fromData(disk.refusal);
  const active = disk?.layers[0]?.path;
  if (active === activePath) return;
  const now = disk === undefined ? 'is gone' : `uses ${active ?? 'no file'} now, not ${activePath}`;
  throw new HoldfastError('PLAN_OUTDATED', `Disk ${target} of VM ${domain.name} ${now}.`, { vmId: domain.uuid, target });
}

function resultOf(request: TakeVmSnapshotRequest, context: StepContext): TakeVmSnapshotResult {
  const moment = context.recorded('snapshot')?.result as FreezeRecord;
  const seen = context.recorded('look')?.result as NewLayers | undefined;
  const thaw = context.recorded('thaw')?.result as { quiesced: boolean; frozenMs: number } | undefined;
  return {
    volumes: request.volumes.map(({ key, target, activePath, newOverlayPath }) => ({
      key,
      target,
      pinnedPath: activePath,
      overlayPath: newOverlayPath,
      overlayInode: BigInt(seen?.deltaInodes[target] ?? 0),
    })),
    quiesced: thaw?.quiesced ?? false,
    frozenMs: thaw?.frozenMs ?? 0,
    frozenAtUnixMs: moment.frozenAtUnixMs,
  };
}
