/**
 * The configuration of a test host's own libvirt and the cache of what libvirt has probed about QEMU.
 * Owns the text of those files; starts nothing.
 */
import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { workDir } from './work-dir.js';

/** The stable UUID of a test host: the same name has the same one, two names never share one. */
export function hostUuid(name: string): string {
  const hex = createHash('sha256').update(`holdfast test host ${name}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Writes the host's configuration into its directory, once, when it is created. */
export async function writeLibvirtConfig(dir: string, name: string): Promise<void> {
  const etc = join(dir, 'etc');
  await mkdir(etc, { recursive: true, mode: 0o755 });
  // Ports of migrations differ between hosts, because all of them share this machine's network.
  const firstPort = 49152 + (parseInt(hostUuid(name).slice(0, 4), 16) % 200) * 64;
  await writeFile(
    join(etc, 'libvirtd.conf'),
    [
      `host_uuid = "${hostUuid(name)}"`,
      'auth_unix_ro = "none"',
      'auth_unix_rw = "none"',
      'unix_sock_rw_perms = "0700"',
      'log_outputs = "2:file:/var/log/libvirt/libvirtd.log"',
      '',
    ].join('\n'),
  );
  await writeFile(
    join(etc, 'qemu.conf'),
    [
      'security_driver = "none"',
      'namespaces = []',
      'cgroup_controllers = []',
      'auto_dump_path = "/var/lib/libvirt/qemu/dump"',
      `migration_port_min = ${firstPort}`,
      `migration_port_max = ${firstPort + 63}`,
      '',
    ].join('\n'),
  );
  await writeFile(join(etc, 'virtlogd.conf'), 'log_outputs = "3:file:/var/log/libvirt/virtlogd.log"\n');
  await writeFile(join(dir, 'hosts'), `127.0.0.1 localhost ${name}\n::1 localhost\n`);
  for (const folder of ['lib', 'log', 'cache']) {
    await mkdir(join(dir, folder), { recursive: true, mode: 0o755 });
    await chmod(join(dir, folder), 0o755);
  }
}

/** Gives a new host what earlier hosts learned about QEMU, which saves seconds of its first start. */
export async function seedCapabilities(dir: string): Promise<void> {
  const cache = join(workDir(), 'libvirt-cache');
  await cp(cache, join(dir, 'cache'), { recursive: true, force: true, preserveTimestamps: true }).catch(ignoreAbsent);
}

/** Keeps what this host learned, unless an earlier one has done so. */
export async function keepCapabilities(dir: string): Promise<void> {
  const cache = join(workDir(), 'libvirt-cache');
  if (await stat(cache).catch(ignoreAbsent)) return;
  const scratch = `${cache}.${process.pid}`;
  await cp(join(dir, 'cache'), scratch, { recursive: true, preserveTimestamps: true });
  await rename(scratch, cache).catch(() => rm(scratch, { recursive: true, force: true }));
}

function ignoreAbsent(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
