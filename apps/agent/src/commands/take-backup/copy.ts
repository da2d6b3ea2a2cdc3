/**
 * Copying the frozen layers of one volume to secondary. Owns the order: `.partial` (made anew) → data → fsync (beside
 * it the digest, which reads what has just been written from memory) → qemu-img check. Nothing here has a final name.
 */
import { join } from 'node:path';
import { PARTIAL_SUFFIX, backupFolder, parentVolumeFile, volumeFile } from '@holdfast/shared/manifest/paths.js';
import type { StepContext } from '../../operations/command.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { together } from '../shared/together.js';
import { explainHeldLayer } from './explain-held-layer.js';
import type { PlannedVolume } from './preflight.js';

/** A volume's file, whole but not yet published. */
export type CopiedVolume = {
  readonly key: string;
  /** Decimal. */
  readonly sizeBytes: string;
  readonly digest: string;
  readonly parentFile?: string;
};

/** Absolute path of the volume's unpublished file. */
export function partialPath(request: TakeBackupRequest, root: string, key: string): string {
  return join(root, backupFolder(request.header.vmUuid, request.backupId), volumeFile(key) + PARTIAL_SUFFIX);
}

/** Copies, syncs, checks and digests one volume. Two steps, so that a restart does not copy again what is durable. */
export async function copyVolume(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  root: string,
  volume: PlannedVolume,
  signal: AbortSignal,
): Promise<CopiedVolume> {
  const target = partialPath(request, root, volume.key);
  const incremental = volume.copyLayers !== undefined && request.parentBackupId !== undefined;
  const parentFile = incremental ? parentVolumeFile(request.parentBackupId ?? '', volume.key) : undefined;
  const report =
    (phase: string) =>
    (share: number): void =>
      context.progress({
        key: volume.key,
        target: volume.target,
        phase,
        doneBytes: BigInt(Math.round(share * Number(volume.estimateBytes))),
        totalBytes: volume.estimateBytes,
      });
  try {
    const { digest } = await context.step('copy', volume.key, { target }, async (_intent, { repeated }) => {
      if (repeated) await ports.files.remove(target);
      const call = { targetPath: target, coroutines: request.coroutines, signal, onProgress: report('copy') };
      if (parentFile === undefined || volume.copyLayers === undefined) {
        const [top] = volume.before;
        if (top === undefined) throw new Error(`volume ${volume.key} was planned without layers`);
        await ports.images.flatten({ ...call, sourcePath: top.path, sourceFormat: top.format });
      } else {
        await ports.images.create(target, volume.virtualSizeBytes, { name: parentFile, format: 'qcow2' });
        // Bottom first: each layer lies over what is there already, so one file holds the union of all.
        for (const layer of volume.copyLayers) {
          await ports.images.copyLayerOnto({
            ...call,
            sourcePath: layer.path,
            sourceFormat: layer.format,
            backingName: parentFile,
          });
        }
      }
      report('sync')(1);
      const [digest = ''] = await together<string | undefined>(signal, [
        (either) => ports.files.digest(target, { signal: either }),
        (either) => ports.files.sync(target, { signal: either }).then(() => undefined),
      ]);
      return { digest };
    });
    return await context.step('seal', volume.key, { target }, async () => {
      report('check')(1);
      const [, facts] = await askedAtOnce([ports.images.check(target), ports.files.stat(target)]);
      return {
        key: volume.key,
        sizeBytes: String(facts?.sizeBytes ?? 0n),
        digest,
        ...(parentFile === undefined ? {} : { parentFile }),
      };
    });
  } catch (thrown) {
    const place = { kind: 'storage', name: request.storage.name, path: root } as const;
    throw await explainStorageFailure(ports, place, explainHeldLayer(volume, thrown));
  }
}
