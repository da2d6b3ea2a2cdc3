/**
 * Asks QEMU's image locks who has a file open, without ever writing to it. Owns the probes and nothing else.
 *
 * The write probe opens the file as raw bytes: opening a qcow2 image read-write as qcow2 already changes it (it marks
 * persistent bitmaps as in use), opening its bytes changes nothing, and the locks are those of the file. The read probe
 * opens read-only in the image's own format, because a qcow2 reader does not tolerate a writer and a raw reader does.
 */
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import type { ToolRunner } from '../process/tool-runner.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { demandAbsolute } from '../looks/demand-absolute.js';

const DEADLINE_MS = 20_000;

/** An opening that the locks are asked about. */
export type LockProbe =
  | { readonly path: string; readonly for: 'write' }
  | { readonly path: string; readonly for: 'read'; readonly format: ImageFormat };

/**
 * True when the opening is refused by a lock alone. For writing: any QEMU or tool has the file open, as an active disk, a
 * backing file or a reader. For reading: somebody writes to it. TOOL_FAILED when the file cannot be opened at all.
 */
export async function isLockedFor(tools: ToolRunner, probe: LockProbe): Promise<boolean> {
  demandAbsolute(probe.path);
  const withLock = await open(tools, probe, 'on');
  if (withLock.exitCode === 0) return false;
  const withoutLock = await open(tools, probe, 'off');
  if (withoutLock.exitCode === 0) return true;
  const { path } = probe;
  throw new HoldfastError('TOOL_FAILED', `The locks of ${path} cannot be asked: ${withoutLock.stderr.trim()}`, {
    tool: 'qemu-io',
    path,
    exitCode: String(withoutLock.exitCode),
    stderr: withoutLock.stderr.slice(-2000),
  });
}

/** One image without what is under it, as QEMU's tools take it in place of a path. `file`: more options of its file. */
export function layerAlone(path: string, driver: ImageFormat, file: { readonly locking?: 'on' | 'off' } = {}): string {
  const backing = driver === 'qcow2' ? { backing: null } : {};
  return `json:${JSON.stringify({ driver, ...backing, file: { driver: 'file', filename: path, ...file } })}`;
}

function open(tools: ToolRunner, probe: LockProbe, locking: 'on' | 'off') {
  const name = layerAlone(probe.path, probe.for === 'write' ? 'raw' : probe.format, { locking });
  return tools.run('qemu-io', [...(probe.for === 'read' ? ['-r'] : []), '-c', 'quit', name], { deadlineMs: DEADLINE_MS });
}
