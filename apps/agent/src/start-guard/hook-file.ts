/**
 * The hook script in libvirt's folder of hooks: put there, taken away. Owns that one file, `<hooks>/qemu.d/holdfast`; other
 * hooks of the host are not touched.
 */
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const NAME = 'holdfast';

/** Where the script is, and whether libvirt must be restarted once to look at it: a libvirtd that found no hook never looks again. */
export interface InstalledHook {
  readonly path: string;
  readonly fresh: boolean;
}

/** Puts the script of this version there, for the state below `stateDir`. Repeating it changes nothing. */
export async function installHook(hooksDir: string, stateDir: string): Promise<InstalledHook> {
  const path = hookPath(hooksDir);
  const text = await hookText(stateDir);
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before === text) return { path, fresh: false };
  await mkdir(join(hooksDir, 'qemu.d'), { recursive: true, mode: 0o755 });
  // Beside qemu.d: libvirt runs whatever can be run in it.
  const scratch = join(hooksDir, `.${NAME}.new`);
  await writeFile(scratch, text, { mode: 0o600 });
  await chmod(scratch, 0o755);
  await rename(scratch, path);
  return { path, fresh: before === undefined };
}

/** Takes the script away; absent is fine. */
export async function removeHook(hooksDir: string): Promise<string> {
  const path = hookPath(hooksDir);
  await rm(path, { force: true });
  return path;
}

/** The script for a state directory. */
export async function hookText(stateDir: string): Promise<string> {
  const template = await readFile(new URL('../../hook/qemu-hook.sh', import.meta.url), 'utf8');
  // In single quotes of a shell.
  return template.replace('@STATE@', () => join(stateDir, 'hook').replaceAll("'", "'\\''"));
}

function hookPath(hooksDir: string): string {
  return join(hooksDir, 'qemu.d', NAME);
}
