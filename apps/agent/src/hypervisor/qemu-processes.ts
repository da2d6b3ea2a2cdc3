/**
 * The QEMU processes of this host as the kernel shows them, independent of what libvirt believes. Owns the reading of
 * /proc and the search for a lost QEMU's monitor socket. Looks only at local, memory-backed folders.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface QemuProcess {
  readonly pid: number;
  readonly uuid: string;
  /** The VM's name. */
  readonly name: string;
  /** Names this very process on this very boot of the host. */
  readonly runId: string;
  readonly argv: readonly string[];
}

export class QemuProcesses {
  constructor(
    private readonly libDir: string,
    private readonly procDir: string,
  ) {}

  /** Every living QEMU that carries a VM's UUID, by that UUID (lower case). */
  async list(): Promise<Map<string, QemuProcess>> {
    const found = new Map<string, QemuProcess>();
    const boot = (await readFile(join(this.procDir, 'sys/kernel/random/boot_id'), 'utf8')).trim();
    const entries = (await readdir(this.procDir)).filter((entry) => /^\d+$/.test(entry));
    for (const entry of entries) {
      const argv = (await read(join(this.procDir, entry, 'cmdline'))).split('\0').slice(0, -1);
      const uuid = after(argv, '-uuid')?.toLowerCase();
      if (uuid === undefined || !/qemu|kvm/.test(argv[0] ?? '')) continue;
      const stat = await read(join(this.procDir, entry, 'stat'));
      const started = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
      if (started === undefined) continue;
      found.set(uuid, { pid: Number(entry), uuid, name: guestName(argv), runId: `${boot}:${entry}:${started}`, argv });
    }
    return found;
  }

  /** Monitor sockets that this process may listen on: those in libvirt's folders that its command line refers to. */
  async monitorSockets(process: QemuProcess): Promise<string[]> {
    const folder = join(this.libDir, 'qemu');
    const names = (await readdir(folder)).filter((name) => name.startsWith('domain-'));
    // Paths stand in the command line as they are, or inside JSON.
    const mentioned = (name: string) => {
      const plain = `/${name}/`;
      const quoted = JSON.stringify(plain).slice(1, -1);
      return process.argv.some((word) => word.includes(plain) || word.includes(quoted));
    };
    return names.filter(mentioned).map((name) => join(folder, name, 'monitor.sock'));
  }
}

/** A process may end between two looks; then it has nothing to say. */
function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function after(argv: readonly string[], option: string): string | undefined {
  const index = argv.indexOf(option);
  return index === -1 ? undefined : argv[index + 1];
}

/** `-name guest=NAME,debug-threads=on`, commas in the name doubled. */
function guestName(argv: readonly string[]): string {
  const value = after(argv, '-name') ?? '';
  const name = /^(?:guest=)?((?:[^,]|,,)*)/.exec(value)?.[1] ?? '';
  return name.replaceAll(',,', ',');
}
