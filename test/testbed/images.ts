/**
 * Test-side work on disk images: making them, looking into their chains, comparing and keeping reference copies.
 * Independent of the product's own image code on purpose.
 */
import { chmod, copyFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { commandError, run, tryRun } from './command.js';

export type ImageFormat = 'qcow2' | 'raw';

/** An ext4 file system to put on a new disk. Keys of `files` are paths below its root. */
export interface Ext4Content {
  label?: string;
  files?: Record<string, string | Uint8Array>;
}

export interface NewImage {
  file: string;
  format: ImageFormat;
  sizeMiB: number;
  content?: Ext4Content;
  /** Makes the image a qcow2 overlay on this file (with its format) instead. */
  template?: { file: string; format: ImageFormat };
}

/** One layer of a disk as `qemu-img info` describes it, top first. */
export interface ChainLayer {
  filename: string;
  format: string;
  virtualBytes: number;
  actualBytes: number;
  /** Backing file exactly as the header names it. */
  backing?: string;
}

/** Makes an image file that QEMU may open; throws when the file exists. */
export async function createImage(image: NewImage): Promise<void> {
  await mkdir(dirname(image.file), { recursive: true, mode: 0o755 });
  await (await open(image.file, 'wx')).close();
  if (image.template !== undefined) {
    const { file, format } = image.template;
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', file, '-F', format, image.file]);
  } else if (image.content !== undefined) {
    await createExt4(image, image.content);
  } else {
    await run(['qemu-img', 'create', '-q', '-f', image.format, image.file, `${image.sizeMiB}M`]);
  }
  await chmod(image.file, 0o644);
}

async function createExt4(image: NewImage, content: Ext4Content): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'holdfast-disk-'));
  try {
    for (const [name, bytes] of Object.entries(content.files ?? {})) {
      const path = join(scratch, 'root', name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes);
    }
    await mkdir(join(scratch, 'root'), { recursive: true });
    const raw = image.format === 'raw' ? image.file : join(scratch, 'disk.raw');
    // Without lazy initialisation an idle guest writes nothing by itself.
    const options = ['-E', 'lazy_itable_init=0,lazy_journal_init=0'];
    await run([
      'mkfs.ext4',
      '-q',
      '-F',
      ...options,
      '-L',
      content.label ?? '',
      '-d',
      join(scratch, 'root'),
      raw,
      `${image.sizeMiB}M`,
    ]);
    if (image.format === 'qcow2') await run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, image.file]);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** The layers of an image, top first; a running VM may hold it. */
export async function imageChain(file: string): Promise<ChainLayer[]> {
  const text = await run(['qemu-img', 'info', '-U', '--backing-chain', '--output=json', file]);
  return (JSON.parse(text) as Record<string, unknown>[]).map((layer) => ({
    filename: String(layer['filename']),
    format: String(layer['format']),
    virtualBytes: Number(layer['virtual-size']),
    actualBytes: Number(layer['actual-size']),
    ...(layer['backing-filename'] === undefined ? {} : { backing: String(layer['backing-filename']) }),
  }));
}

/** Whether two images show a guest the same bytes, their chains included. Reads live images too. */
export async function imagesEqual(a: string, aFormat: ImageFormat, b: string, bFormat: ImageFormat): Promise<boolean> {
  const argv = ['qemu-img', 'compare', '-U', '-f', aFormat, '-F', bFormat, a, b];
  const result = await tryRun(argv, { timeoutMs: 600_000 });
  if (result.exitCode !== 0 && result.exitCode !== 1) throw commandError(argv, result);
  return result.exitCode === 0;
}

/**
 * Keeps what a guest sees of a disk at this moment as a flat raw file. The caller makes sure that nothing writes:
 * the VM is shut off, paused, or the image is a frozen lower layer.
 */
export async function copyFlat(file: string, format: ImageFormat, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await run(['qemu-img', 'convert', '-U', '-f', format, '-O', 'raw', file, target], { timeoutMs: 600_000 });
}

/** Copies a file byte by byte, for a test that damages the original. */
export async function keepFile(file: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await copyFile(file, target);
}
