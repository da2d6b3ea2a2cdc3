/**
 * One volume of a compaction: the absorbed backup's file takes the child's clusters in, then the child's name. Owns the three
 * steps and what each looks at before it acts. The child's file stands alone exactly when its volume is done.
 */
import { dirname } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';

/** A JSON value: it is the intent of the steps. */
export type MergePlace = {
  /** The child's file. */
  readonly top: string;
  /** The absorbed backup's file of the volume. */
  readonly base: string;
};

export interface MergeCall {
  readonly signal: AbortSignal;
  readonly bytesPerSecond?: bigint;
  readonly report: (doneBytes: bigint, totalBytes: bigint) => void;
}

/**
 * The child's clusters go down into the base. A commit that was cut off is simply made again: until the base stands under
 * the child's name, the child's own clusters are what counts.
 */
export async function mergeVolume(ports: CommandPorts, { top, base }: MergePlace, call: MergeCall): Promise<null> {
  if (!(await isBacked(ports, top))) return null;
  await demandBase(ports, base);
  const totalBytes = (await ports.files.stat(top))?.allocatedBytes ?? 0n;
  await ports.images.commit(top, base, {
    signal: call.signal,
    onProgress: (share) => call.report(BigInt(Math.round(share * Number(totalBytes))), totalBytes),
    ...(call.bytesPerSecond === undefined ? {} : { bytesPerSecond: call.bytesPerSecond }),
  });
  // A commit that was killed leaves clusters that nobody refers to.
  await ports.images.check(base, { mendLeaks: true });
  await ports.files.sync(base, { signal: call.signal });
  return null;
}

/** The base takes the child's name, and is durable there. */
export async function replaceVolume(ports: CommandPorts, { top, base }: MergePlace): Promise<null> {
  if (await isBacked(ports, top)) {
    await demandBase(ports, base);
    const [above, below] = [await ports.images.info(top, 'qcow2'), await ports.images.info(base, 'qcow2')];
    if (below.backingName !== undefined || below.virtualSizeBytes !== above.virtualSizeBytes) {
      throw new HoldfastError(
        'CHAIN_UNEXPLAINED',
        `${base} does not take the place of ${top}: it is not the whole of that volume. Nothing was replaced; both files are kept.`,
        { path: base },
      );
    }
    await ports.files.replace(base, top);
  }
  await ports.files.sync([dirname(top), dirname(base)]);
  return null;
}

/** Size (decimal) and digest of the merged file. */
export async function digestVolume(
  ports: CommandPorts,
  { top }: MergePlace,
  signal: AbortSignal,
): Promise<{ sizeBytes: string; digest: string }> {
  if (await isBacked(ports, top))
    throw new HoldfastError('BUG', `${top} still has a backing file after its merge.`, { path: top });
  const digest = await ports.files.digest(top, { signal });
  return { sizeBytes: String((await ports.files.stat(top))?.sizeBytes ?? 0n), digest };
}

async function isBacked(ports: CommandPorts, top: string): Promise<boolean> {
  return (await ports.images.info(top, 'qcow2')).backingName !== undefined;
}

async function demandBase(ports: CommandPorts, base: string): Promise<void> {
  if ((await ports.files.stat(base))?.kind === 'file') return;
  throw new HoldfastError('BACKING_FILE_MISSING', `${base} is missing, and the backups above it need it. Bring it back.`, {
    path: base,
  });
}
