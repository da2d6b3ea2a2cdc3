/**
 * Known content: bytes that follow from a name and a size alone, made on the host here and in a guest by `fillRandom`.
 * The bytes do not compress and no two 64 KiB clusters of a file are equal, so misplaced data never goes unnoticed.
 */
import { createHash } from 'node:crypto';
import { run } from './command.js';

// Not a multiple of any cluster size: the repeated block lands differently in every cluster.
const blockBytes = 1024 * 1024 + 513;

/** Shell script that writes `bytes` known bytes for `seed` to the file "$1" in a guest. */
export function fillScript(seed: string, bytes: number): string {
  const repeats = Math.ceil(bytes / blockBytes);
  return `set -e
printf '%s' '${seedDigest(seed)}' | b3sum --raw --length ${Math.min(bytes, blockBytes)} > /tmp/fill.block
i=0; while [ $i -lt ${repeats} ]; do cat /tmp/fill.block; i=$((i+1)); done | head -c ${bytes} > "$1"
rm /tmp/fill.block
sync`;
}

/** The same bytes on the host. */
export async function knownBytes(seed: string, bytes: number): Promise<Buffer> {
  const length = Math.min(bytes, blockBytes);
  const hex = await run(['b3sum', '--no-names', '--length', String(length)], { input: seedDigest(seed) });
  const block = Buffer.from(hex.trim(), 'hex');
  return bytes === 0 ? Buffer.alloc(0) : Buffer.alloc(bytes, block);
}

/** SHA-256, in hex, of bytes or text: what `TestVm.digests` reports for a file with that content. */
export function digestOf(content: Uint8Array | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Content files "file 1".."file n" with known bytes, ready to be put on a test disk. */
export async function knownFiles(count: number, bytes = 64 * 1024): Promise<Record<string, Buffer>> {
  const names = Array.from({ length: count }, (_unused, index) => `file ${index + 1}`);
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await knownBytes(name, bytes)] as const)));
}

function seedDigest(seed: string): string {
  return digestOf(seed);
}
