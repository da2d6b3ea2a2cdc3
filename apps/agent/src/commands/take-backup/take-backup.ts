/**
 * TakeBackup. Owns the order of its steps; each file beside this one owns one part.
 *
 *   preflight, storage and parent (both looks at once) → prepare → freeze → snapshot → thaw → look, describe, copy/seal per volume (all in parallel) →
 *   publish-files → publish-manifest → [point of no return] → merge/discard per volume → finish
 *
 * Invariants: no delta is merged before the manifest is durable; before it, everything is taken back by merging the new
 * delta into what is under it; after it, everything goes forward.
 */
import { basename, dirname, join } from 'node:path';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import type { CommandPorts } from '../ports.js';
import type { ChainChanges, TakeBackupRequest, TakeBackupResult, TakeBackupVolume } from '../requests.js';
import { mergeOrPostpone } from '../merge/merge-or-postpone.js';
import { bigintJson } from '../shared/bigint-json.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { chainPaths, observeExisting, observeSettled, withHypervisor } from '../shared/observe-settled.js';
import { lookAfterMoment, takeMoment, type FreezeRecord, type MomentWish, type NewLayers } from '../shared/take-moment.js';
import { together } from '../shared/together.js';
import { waitsForHypervisor } from '../shared/waits-for-hypervisor.js';
import { copyVolume, type CopiedVolume } from './copy.js';
import { demandParent } from './demand-parent.js';
import { describe } from './describe.js';
import { isOnStorage } from './on-storage.js';
import { checkSecondarySpace, preflight, type Preflight } from './preflight.js';
import { publish, publishManifest } from './publish.js';
import { undoTakeBackup } from './undo.js';

const planJson = bigintJson<Preflight>();

export function takeBackupCommand(ports: CommandPorts): Command<TakeBackupRequest, TakeBackupResult> {
  return {
    kind: 'TakeBackup',
    codec: bigintJson<TakeBackupRequest>(),
    resultCodec: bigintJson<TakeBackupResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: (request, context, error) => undoTakeBackup(ports, request, context, error),
  };
}

async function run(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<Outcome<TakeBackupResult>> {
  const { vmUuid, operationId } = request.header;
  const published = context.pastPointOfNoReturn || (await isPublished(ports, request, context));
  const [plan, root] = await askedAtOnce([
    lookAtVm(ports, request, context),
    published ? Promise.resolve(undefined) : openStorage(ports, request, context),
  ]);
  if (root !== undefined) await copyAndPublish(ports, request, context, { root, plan });
  if (!context.pastPointOfNoReturn) await context.pointOfNoReturn();
  await ports.storages.release(request.storage.id, operationId);
  // The backup is published: whatever happens to its merges, it stays.
  const wishes = request.volumes.map((volume) => ({ ...volume, deltaPaths: volume.mergeDeltaPaths }));
  const { pending, changes } = await mergeOrPostpone(ports, context, vmUuid, wishes);
  const { domain, unseen } = await lookAtTheEnd(ports, request, context);
  return {
    result: resultOf(request, context, { plan, changes, domain }),
    vmOutcome: pending || unseen ? 'MergePending' : 'AsAfter',
  };
}

async function lookAtVm(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<Preflight> {
  const { vmUuid } = request.header;
  return planJson.decode(
    await context.step('preflight', '', {}, async () => {
      const [domain, usedByOthers] = await Promise.all([
        observeExisting(ports, vmUuid, context.log),
        withHypervisor(ports, () => ports.hypervisor.pathsInUseByOthers(vmUuid)),
      ]);
      const found = await preflight(ports, request, domain, usedByOthers);
      found.warnings.forEach((warning) => context.warn(warning));
      return planJson.encode(found);
    }),
  );
}

/** The storage, proven, with a parent that can be built on. Its root. */
async function openStorage(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<string> {
  const { root } = await ports.storages.acquire(request.storage, request.header.operationId, 'write');
  // Once the folder stands, an earlier life has looked.
  if (context.recorded('prepare')?.confirmed !== true) await demandParent(ports, request, root);
  return root;
}

/**
 * The VM may have left this host, and a disk the VM, while the frozen layers were copied. A VM that cannot be looked at
 * (libvirt is away for long, its QEMU is nobody's) does not make the backup less published: the journal says what was made.
 */
async function lookAtTheEnd(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
): Promise<{ domain: ObservedDomain | undefined; unseen: boolean }> {
  try {
    return { domain: await observeSettled(ports, request.header.vmUuid, context.log), unseen: false };
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    if (waitsForHypervisor(error, context)) throw error;
    context.warn(`The disks of the VM could not be looked at after the backup: ${error.message}`);
    return { domain: undefined, unseen: true };
  }
}

/**
 * Is the manifest there, durably? In doubt (an earlier life died while renaming it) the storage itself must say; one that is
 * there is made durable by the rest of its step.
 */
async function isPublished(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<boolean> {
  const record = context.recorded('publish-manifest');
  if (record === undefined || record.confirmed) return record?.confirmed === true;
  if (!(await isOnStorage(ports, request, context))) return false;
  // 'read': what is written already does not need the proof that more can be written.
  const { root } = await ports.storages.acquire(request.storage, request.header.operationId, 'read');
  const { manifest } = record.intent as { manifest: Manifest };
  await publishManifest(ports, request, context, root, manifest);
  return true;
}

async function copyAndPublish(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  { root, plan }: { readonly root: string; readonly plan: Preflight },
): Promise<void> {
  const folder = join(root, backupFolder(request.header.vmUuid, request.backupId));
  await context.step('prepare', '', { folder }, async () => {
    const [, backups] = await askedAtOnce([
      checkSecondarySpace(ports, request, root, plan.volumes),
      ports.files.list(dirname(folder)),
    ]);
    if (backups?.includes(basename(folder)) === true && (await ports.files.stat(join(folder, MANIFEST_FILE))) !== undefined) {
      throw new HoldfastError('IN_USE', `Backup ${request.backupId} exists already on storage "${request.storage.name}".`, {
        backupId: request.backupId,
      });
    }
    try {
      if (backups === undefined) await ports.files.makeDirectory(dirname(folder));
      await ports.files.makeDirectory(folder);
    } catch (thrown) {
      throw await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, thrown);
    }
    return null;
  });
  const { header, quiesce, freezeBudgetMs } = request;
  const disks = request.volumes.map(({ target, newDeltaPath }) => ({ target, newPath: newDeltaPath }));
  const wish: MomentWish = { header, what: 'backup', quiesce, freezeBudgetMs, freeze: plan.freeze, disks };
  const moment = await takeMoment(ports, wish, context);
  // What the snapshot froze is copied while the VM is looked at: the look has ended well before anything is published.
  const [copies = []] = await together<CopiedVolume[] | undefined>(context.signal, [
    (signal) => copyAll(ports, request, context, root, plan, signal),
    () => lookAfterMoment(ports, wish, context).then(() => undefined),
    () => describe(ports, request, context, root, { plan, moment }).then(() => undefined),
  ]);
  await publish(ports, request, context, root, { plan, moment, copies });
}

/** All volumes at once; the first failure stops the others before it is thrown. */
async function copyAll(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  root: string,
  plan: Preflight,
  signal: AbortSignal,
): Promise<CopiedVolume[]> {
  return together(
    signal,
    plan.volumes.map((volume) => (either) => copyVolume(ports, request, context, root, volume, either)),
  );
}

function resultOf(
  request: TakeBackupRequest,
  context: StepContext,
  { plan, changes, domain }: { plan: Preflight; changes: ChainChanges; domain: ObservedDomain | undefined },
): TakeBackupResult {
  const moment = recordedResult<FreezeRecord>(context, 'snapshot');
  // Absent in the journal of an agent that looked in the step before.
  const seen = recordedResult<NewLayers | undefined>(context, 'look');
  const thaw = recordedResult<{ quiesced: boolean; frozenMs: number } | undefined>(context, 'thaw');
  const volumes = plan.volumes.map((volume) => {
    const wish = request.volumes.find((candidate) => candidate.key === volume.key) as TakeBackupVolume;
    const seal = recordedResult<CopiedVolume>(context, 'seal', volume.key);
    const disk = domain?.disks.find((candidate) => candidate.target === volume.target);
    const chain = disk === undefined ? [] : chainPaths(disk);
    const unseen = chain.length === 0 && !changes.removedPaths.includes(wish.newDeltaPath);
    const kept = unseen || chain.includes(wish.newDeltaPath);
    return {
      key: volume.key,
      target: volume.target,
      sizeBytes: BigInt(seal.sizeBytes),
      virtualSizeBytes: volume.virtualSizeBytes,
      digest: seal.digest,
      deltaPath: kept ? wish.newDeltaPath : undefined,
      deltaInode: kept ? BigInt(seen?.deltaInodes[volume.target] ?? 0) : undefined,
      activePath: chain[0] ?? '',
      copiedInFull: seal.parentFile === undefined,
    };
  });
  return {
    volumes,
    quiesced: thaw?.quiesced ?? false,
    frozenMs: thaw?.frozenMs ?? 0,
    frozenAtUnixMs: moment.frozenAtUnixMs,
    sizeBytes: volumes.reduce((sum, volume) => sum + volume.sizeBytes, 0n),
    changes,
  };
}

function recordedResult<T>(context: StepContext, name: string, subject = ''): T {
  return context.recorded(name, subject)?.result as T;
}
