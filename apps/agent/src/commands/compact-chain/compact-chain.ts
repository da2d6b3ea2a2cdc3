/**
 * CompactChain: gives the space of a chain's oldest backup R, which was deleted, back by merging it with its only child C.
 * Owns the order of writes on storage:
 *
 *   preflight → verify (digests of the files to be merged) → intent (C's manifest says what it absorbs) → absorb (R's manifest
 *   says that it is absorbed: no restore point any more) → [point of no return] → per volume: merge (C's clusters go down into
 *   R's file, in place; fsync; check) → replace (R's file takes the place of C's, at one instant; both folders synced) →
 *   digest → publish (C's manifest: full, no parent, new sizes and digests, no mark) → discard (R's folder)
 *
 * Invariants: no living restore point's view changes at any instant, because what changes in R's file is shadowed by C's until
 * R's file stands under C's name with the same view; C's file is never changed; no file belongs to no manifest. What is
 * written is C's own clusters. Every step looks at what is there, so that another operation can finish what this one left.
 */
import { join } from 'node:path';
import { MANIFEST_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import { compactedManifest, withCompaction, type CompactedVolume } from '@holdfast/shared/manifest/compaction.js';
import type { Compaction } from '@holdfast/shared/manifest/manifest.js';
import type { Command, Outcome, StepContext, VmOutcomeName } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { CompactChainRequest, CompactChainResult } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { discardBackupFolder } from '../shared/discard-backup-folder.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { findDamage } from '../shared/find-damage.js';
import { readManifest } from '../shared/read-manifest.js';
import { replaceWhole } from '../shared/replace-whole.js';
import { digestVolume, mergeVolume, replaceVolume, type MergePlace } from './merge-volume.js';
import { allocatedBytes, preflight, type CompactionPlan } from './preflight.js';

export function compactChainCommand(ports: CommandPorts): Command<CompactChainRequest, CompactChainResult> {
  return {
    kind: 'CompactChain',
    codec: bigintJson<CompactChainRequest>(),
    resultCodec: bigintJson<CompactChainResult>(),
    // No guest is touched.
    relieve: async () => {},
    run: (request, context) => onStorage(ports, request, 'write', (root) => run(ports, request, context, root)),
    undo: (request, context) => undo(ports, request, context),
  };
}

async function run(
  ports: CommandPorts,
  request: CompactChainRequest,
  context: StepContext,
  root: string,
): Promise<Outcome<CompactChainResult>> {
  const plan = await context.step('preflight', '', {}, () => preflight(ports, request, root));
  if (plan.state === 'fresh' && !context.pastPointOfNoReturn) await takePossession(ports, request, context, root, plan);
  await context.pointOfNoReturn();
  const volumes: CompactedVolume[] = [];
  // One after another: the limit for writing is one for all of them.
  for (const volume of plan.volumes) volumes.push(await compactVolume(ports, request, context, root, volume));
  if (plan.state !== 'done') {
    await context.step('publish', '', {}, () =>
      editManifest(ports, request, root, request.childBackupId, (text) => compactedManifest(text, volumes)),
    );
  }
  await context.step('discard', '', { backupId: request.absorbedBackupId }, async ({ backupId }) => {
    await discardBackupFolder(ports, root, request.header.vmUuid, backupId, { unpublish: true });
    return null;
  });
  const result = await context.step('look', '', {}, () => lookBack(ports, request, root, plan));
  return { result: bigintJson<CompactChainResult>().decode(result), vmOutcome: 'AsAfter' };
}

/** Everything up to the point of no return: proof that both backups are whole, and the two marks. */
async function takePossession(
  ports: CommandPorts,
  request: CompactChainRequest,
  context: StepContext,
  root: string,
  plan: CompactionPlan,
): Promise<void> {
  for (const file of plan.verify) {
    await context.step('verify', `${file.whose}.${file.key}`, { path: file.path }, async () => {
      const damage = await findDamage(ports, file, context.signal);
      if (damage !== undefined) throw damage;
      return null;
    });
  }
  const { absorbedBackupId, childBackupId } = request;
  const mark = (id: string, wanted: Omit<Compaction, 'operationId'>) => () =>
    editManifest(ports, request, root, id, (text) =>
      withCompaction(text, { ...wanted, operationId: request.header.operationId }),
    );
  await context.step('intent', '', {}, mark(childBackupId, { role: 'absorbs', backupId: absorbedBackupId }));
  await context.step('absorb', '', {}, mark(absorbedBackupId, { role: 'absorbed', backupId: childBackupId }));
}

async function compactVolume(
  ports: CommandPorts,
  request: CompactChainRequest,
  context: StepContext,
  root: string,
  { key, target, file }: CompactionPlan['volumes'][number],
): Promise<CompactedVolume> {
  const { vmUuid } = request.header;
  const place: MergePlace = {
    top: join(root, backupFolder(vmUuid, request.childBackupId), file),
    base: join(root, backupFolder(vmUuid, request.absorbedBackupId), file),
  };
  await context.step('merge', key, { ...place }, (intent) =>
    mergeVolume(ports, intent, {
      signal: context.signal,
      ...(request.bytesPerSecond === undefined ? {} : { bytesPerSecond: request.bytesPerSecond }),
      report: (doneBytes, totalBytes) => context.progress({ key, target, phase: 'merge', doneBytes, totalBytes }),
    }),
  );
  await context.step('replace', key, { ...place }, (intent) => replaceVolume(ports, intent));
  const sealed = await context.step('digest', key, { ...place }, (intent) => digestVolume(ports, intent, context.signal));
  return { key, ...sealed };
}

/** Rewrites a manifest whole. Repeating it is harmless: an edit of what it made changes nothing. */
async function editManifest(
  ports: CommandPorts,
  request: CompactChainRequest,
  root: string,
  backupId: string,
  edit: (text: string) => string,
): Promise<null> {
  const { vmUuid } = request.header;
  const { text } = await readManifest(ports, root, vmUuid, backupId);
  await replaceWhole(ports, join(root, backupFolder(vmUuid, backupId), MANIFEST_FILE), edit(text));
  return null;
}

/** What is really there at the end. */
async function lookBack(ports: CommandPorts, request: CompactChainRequest, root: string, plan: CompactionPlan) {
  const { manifest } = await readManifest(ports, root, request.header.vmUuid, request.childBackupId);
  const volumes = manifest.volumes.map(({ key, sizeBytes, digest }) => ({ key, sizeBytes: BigInt(sizeBytes), digest }));
  const before = BigInt(plan.allocatedBytes);
  const after = await allocatedBytes(ports, request, root);
  return bigintJson<CompactChainResult>().encode({
    volumes,
    sizeBytes: volumes.reduce((sum, volume) => sum + volume.sizeBytes, 0n),
    freedBytes: before > after ? before - after : 0n,
  });
}

/** No file has been touched yet: the marks are taken out again, that of the absorbed backup first. */
async function undo(
  ports: CommandPorts,
  request: CompactChainRequest,
  context: StepContext,
): Promise<{ vmOutcome: VmOutcomeName }> {
  if (context.recorded('intent') !== undefined) {
    // 'read': a storage that is full cannot prove that it can be written.
    await onStorage(ports, request, 'read', async (root) => {
      const unmark = (backupId: string) => () =>
        editManifest(ports, request, root, backupId, (text) => withCompaction(text, undefined));
      await context.step('undo-absorb', '', {}, unmark(request.absorbedBackupId));
      await context.step('undo-intent', '', {}, unmark(request.childBackupId));
    });
  }
  return { vmOutcome: 'AsBefore' };
}

/** With the storage held, and let go at the end; what fails on it is said in its own words. */
async function onStorage<T>(
  ports: CommandPorts,
  request: CompactChainRequest,
  access: 'read' | 'write',
  work: (root: string) => Promise<T>,
): Promise<T> {
  const { storage, header } = request;
  const { root } = await ports.storages.acquire(storage, header.operationId, access);
  try {
    return await work(root);
  } catch (thrown) {
    throw await explainStorageFailure(ports, { kind: 'storage', name: storage.name, path: root }, thrown);
  } finally {
    await ports.storages.release(storage.id, header.operationId);
  }
}
