/**
 * Asks QEMU's image locks who has a file open, without ever writing to it. Owns the probes and nothing else.
 *
 * The probes open the file as raw bytes: opening a qcow2 image read-write as qcow2 already changes it (it marks persistent
 * bitmaps as in use), opening its bytes changes nothing, and the locks are those of the file, not of the format.
 */
import type { ToolRunner } from '../process/tool-runner.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { demandAbsolute } from './file-facts.js';

const DEADLINE_MS = 20_000;

/** Which opening the locks are asked about. */
export type LockProbe = 'write' | 'read';

/**
 * True when an opening for `probe` is refused by the lock alone. `write`: any QEMU or tool has the file open, as an active
 * disk, a backing file or a reader. `read`: somebody writes to it. TOOL_FAILED when the file cannot be opened at all.
 */
export async function isLockedFor(tools: ToolRunner, path: string, probe: LockProbe): Promise<boolean> {
  demandAbsolute(path);
  const withLock = await open(tools, path, probe, 'on');
  if (withLock.exitCode === 0) return false;
  const withoutLock = await open(tools, path, probe, 'off');
  if (withoutLock.exitCode === 0) return true;
  throw new HoldfastError('TOOL_FAILED', `The locks of ${path} cannot be asked: ${withoutLock.stderr.trim()}`, {
    tool: 'qemu-io',
    path,
    exitCode: String(withoutLock.exitCode),
    stderr: withoutLock.stderr.slice(-2000),
  });
}

function open(tools: ToolRunner, path: string, probe: LockProbe, locking: 'on' | 'off') {
  const name = `json:${JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: path, locking } })}`;
  return tools.run('qemu-io', [...(probe === 'read' ? ['-r'] : []), '-c', 'quit', name], { deadlineMs: DEADLINE_MS });
}
