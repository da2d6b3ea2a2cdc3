/**
 * The disk that is backed up: an ext4 file system of mixed data, made offline on the host. Owns the files it makes in the given
 * folder. Of the data, a half does not compress, a third is text that does, and the rest lies in pieces between holes.
 */
import { randomFillSync } from 'node:crypto';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../testbed/command.js';

const MiB = 1024 * 1024;
const longMs = 600_000;
/** Size of a piece between two holes, and of the hole. */
const pieceBytes = 256 * 1024;
/** The guest overwrites pieces of this file; it is as long as all incompressible data. */
export const changedFile = 'random';

/** MiB of each kind. */
export function shares(dataGiB: number): { random: number; text: number; pieces: number } {
  const all = dataGiB * 1024;
  const random = Math.floor(all / 2);
  const text = Math.floor(all / 3);
  return { random, text, pieces: all - random - text };
}

/** Makes `<folder>/base.qcow2` and returns its path. */
export async function makeMixedDisk(folder: string, sizeGiB: number, dataGiB: number): Promise<string> {
  const root = join(folder, 'content');
  const raw = join(folder, 'base.raw');
  const base = join(folder, 'base.qcow2');
  await mkdir(root, { recursive: true });
  const { random, text, pieces } = shares(dataGiB);
  await fill(join(root, changedFile), random * MiB, MiB, 0, (buffer) => randomFillSync(buffer));
  const words = Buffer.from(logText(16 * MiB), 'latin1');
  await fill(join(root, 'text'), text * MiB, MiB, 0, (buffer, at) => words.copy(buffer, 0, at % words.length));
  await fill(join(root, 'pieces'), pieces * MiB, pieceBytes, pieceBytes, (buffer) => randomFillSync(buffer));
  // Without lazy initialisation an idle guest writes nothing by itself.
  const still = ['-E', 'lazy_itable_init=0,lazy_journal_init=0'];
  await run(['mkfs.ext4', '-q', '-F', ...still, '-L', 'bench', '-d', root, raw, `${sizeGiB}G`], { timeoutMs: longMs });
  await rm(root, { recursive: true });
  await run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, base], { timeoutMs: longMs });
  await rm(raw);
  return base;
}

/** Writes `bytes` of data in pieces, each followed by a hole. */
async function fill(
  file: string,
  bytes: number,
  piece: number,
  hole: number,
  make: (buffer: Buffer, at: number) => unknown,
): Promise<void> {
  const handle: FileHandle = await open(file, 'wx');
  try {
    const buffer = Buffer.alloc(piece);
    for (let done = 0, at = 0; done < bytes; done += piece, at += piece + hole) {
      make(buffer, done);
      await handle.write(buffer, 0, piece, at);
    }
  } finally {
    await handle.close();
  }
}

/** Lines as a service logs them: about a fifth of their size when compressed. `bytes` is a whole number of MiB. */
function logText(bytes: number): string {
  const ids = randomFillSync(Buffer.alloc(bytes / 64)).toString('hex');
  const lines: string[] = [];
  let length = 0;
  for (let n = 0; length < bytes; n += 1) {
    const id = ids.slice((n * 8) % (ids.length - 8)).slice(0, 8);
    const line = `2026-11-${10 + (n % 20)}T12:00:${10 + (n % 50)}Z INFO gateway request ${id} answered with status 200 in ${n % 977} ms\n`;
    lines.push(line);
    length += line.length;
  }
  return lines.join('').slice(0, bytes);
}
