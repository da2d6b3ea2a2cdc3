/**
 * A real VM on a test host: boots the test guest in about two seconds, has disks of known content, can be asked and hurt.
 * Owns its definition and the disk files it made; both go with the host or with `remove`.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { commandError } from './command.js';
import { fillScript } from './content.js';
import { domainXml } from './domain-xml.js';
import { agentCall, agentExec, type GuestResult } from './guest-agent.js';
import { controlShell, type ShellResult } from './guest-control.js';
import { guestImage } from './guest-image.js';
import { controlPort, guestReadyLine } from './guest-init.js';
import { copyFlat, createImage, imageChain, type ChainLayer, type Ext4Content, type ImageFormat } from './images.js';
import type { TestHost } from './test-host.js';
import { HANG_MS, waitUntil } from './wait-until.js';

/** A disk of a new test VM. In the guest a disk with `content` is mounted at /mnt/<target>. */
export interface TestDisk {
  target: string;
  sizeMiB: number;
  format?: ImageFormat;
  content?: Ext4Content;
  template?: { file: string; format: ImageFormat };
  /** Name of the file below the VM's folder, or an absolute path; default `<target>.<format>`. */
  fileName?: string;
}

export interface TestVmOptions {
  name: string;
  uuid?: string;
  /** Folder of the disk files; default a folder of the host named after the UUID. */
  dir?: string;
  disks: readonly TestDisk[];
  /** False gives a guest without guest agent. Default true. */
  agent?: boolean;
  memoryMiB?: number;
}

/** Where libvirt says a disk's data is. `live` is absent while the VM is shut off. */
export interface DiskSource {
  live?: string;
  inactive: string;
}

/** How often a guest that is still booting is asked all the same. */
const SELDOM_MS = 2_000;

export class TestVm {
  private constructor(
    /** The host the VM is on; a test that migrates uses `onHost`. */
    readonly host: TestHost,
    readonly name: string,
    readonly uuid: string,
    /** Folder of the disk files. */
    readonly dir: string,
    readonly hasAgent: boolean,
  ) {}

  /** Makes the disk files and defines the VM. It is not started. */
  static async define(host: TestHost, options: TestVmOptions): Promise<TestVm> {
    const uuid = options.uuid ?? randomUUID();
    const dir = options.dir ?? join(host.dir, 'images', uuid);
    await mkdir(dir, { recursive: true, mode: 0o755 });
    const disks = [];
    for (const disk of options.disks) {
      const format = disk.format ?? 'qcow2';
      const name = disk.fileName ?? `${disk.target}.${format}`;
      const file = name.startsWith('/') ? name : join(dir, name);
      await createImage({ ...disk, format, file });
      disks.push({ target: disk.target, file, format });
    }
    const agent = options.agent ?? true;
    const image = await guestImage();
    const xml = domainXml({ name: options.name, uuid, memoryMiB: options.memoryMiB ?? 256, agent, image, disks });
    const definition = join(host.dir, `${uuid}.xml`);
    await writeFile(definition, xml);
    await host.virsh('define', definition);
    await rm(definition);
    return new TestVm(host, options.name, uuid, dir, agent);
  }

  /** The same VM seen on another host, after a migration. */
  onHost(host: TestHost): TestVm {
    return new TestVm(host, this.name, this.uuid, this.dir, this.hasAgent);
  }

  /** Starts the VM and waits until its guest is up (its agent, when it has one). */
  async start(): Promise<void> {
    await this.host.virsh('start', this.uuid);
    await this.waitForGuest();
  }

  /** Waits until the guest of a started VM has booted and its agent, when it has one, answers. */
  async waitForGuest(timeoutMs = HANG_MS): Promise<void> {
    if (this.hasAgent) return this.waitForAgent(timeoutMs);
    await this.shell('true', timeoutMs);
  }

  async waitForAgent(timeoutMs = HANG_MS): Promise<void> {
    let askedAt = 0;
    const outcome = await waitUntil(
      `the guest agent of ${this.name} answers`,
      async () => {
        // Asking costs two processes, reading costs nothing: until the console says that the guest is up, it is asked seldom.
        // (A guest that has migrated said so elsewhere.)
        if (Date.now() - askedAt < SELDOM_MS && !(await this.consoleSaysReady())) return undefined;
        askedAt = Date.now();
        try {
          await agentCall(this.host, this.uuid, 'guest-ping', undefined, 5);
          return 'up';
        } catch (error) {
          // A VM that is gone will not answer later either.
          if ((await this.domstate()) === 'shut off') return 'off';
          throw error;
        }
      },
      { timeoutMs, intervalMs: 100 },
    );
    if (outcome === 'off') throw new Error(`${this.name} is shut off, so its guest agent cannot answer`);
  }

  /** Whether the guest has booted since QEMU started, by what it wrote to its console. */
  private async consoleSaysReady(): Promise<boolean> {
    const said = await readFile(join(this.host.dir, 'log', `serial-${this.uuid}.log`), 'utf8').catch(() => '');
    return said.includes(guestReadyLine);
  }

  /** Shuts the guest down from inside and waits until the VM is off. */
  async shutdown(): Promise<void> {
    const argv = ['virsh', 'shutdown', this.uuid];
    const asked = await this.host.tryVirsh('shutdown', this.uuid);
    // libvirt asks the guest agent first. A guest that is off before its agent has answered makes libvirt press the power button
    // of a VM that no longer runs: an error, although what was wished for has happened.
    if (asked.exitCode !== 0 && (await this.domstate()) !== 'shut off') throw commandError(argv, asked);
    await this.waitForState('shut off');
  }

  /** Pulls the VM's plug. */
  async destroy(): Promise<void> {
    await this.host.virsh('destroy', this.uuid);
  }

  async undefine(): Promise<void> {
    await this.host.virsh('undefine', this.uuid, '--nvram', '--managed-save', '--snapshots-metadata');
  }

  /** Removes the VM wherever it stands, and its folder of disk files. */
  async remove(): Promise<void> {
    await this.host.tryVirsh('destroy', this.uuid);
    await this.host.tryVirsh('undefine', this.uuid, '--nvram', '--managed-save', '--snapshots-metadata');
    await rm(this.dir, { recursive: true, force: true });
  }

  /** State in libvirt's words, for example "running", "shut off", "paused". */
  async domstate(): Promise<string> {
    return (await this.host.virsh('domstate', this.uuid)).trim();
  }

  async waitForState(state: string, timeoutMs = HANG_MS): Promise<void> {
    await waitUntil(`${this.name} is ${state}`, async () => (await this.domstate()) === state, { timeoutMs });
  }

  /** Domain XML: live while the VM runs, or the persistent one. */
  async xml(which: 'live' | 'inactive' = 'live'): Promise<string> {
    return this.host.virsh('dumpxml', this.uuid, ...(which === 'inactive' ? ['--inactive'] : []));
  }

  /** Where each disk's data is, live and in the persistent definition, by target. */
  async diskPaths(): Promise<Record<string, DiskSource>> {
    const inactive = await this.sources('--inactive');
    const live = (await this.domstate()) === 'shut off' ? {} : await this.sources();
    return Object.fromEntries(Object.entries(inactive).map(([target, path]) => [target, { live: live[target], inactive: path }]));
  }

  /** Layers of a disk from its current file down, by the images' own headers. */
  async chain(target: string): Promise<ChainLayer[]> {
    return imageChain(await this.currentFile(target));
  }

  /** The file a disk's data is in now: live while the VM runs, else by the definition. */
  async currentFile(target: string): Promise<string> {
    const source = (await this.diskPaths())[target];
    if (source === undefined) throw new Error(`${this.name} has no disk ${target}`);
    return source.live ?? source.inactive;
  }

  /** Keeps what the guest sees of a disk now as a raw file, the VM paused meanwhile when it runs. */
  async copyDisk(target: string, file: string): Promise<void> {
    const running = (await this.domstate()) === 'running';
    if (running) await this.host.virsh('suspend', this.uuid);
    try {
      const [top] = await this.chain(target);
      if (top === undefined) throw new Error(`disk ${target} of ${this.name} has no image`);
      await copyFlat(top.filename, top.format === 'raw' ? 'raw' : 'qcow2', file);
    } finally {
      if (running) await this.host.virsh('resume', this.uuid);
    }
  }

  /** Runs a program in the guest through its agent. */
  async exec(
    path: string,
    args: readonly string[] = [],
    options: { input?: string | Uint8Array; timeoutMs?: number } = {},
  ): Promise<GuestResult> {
    return agentExec(this.host, this.uuid, path, args, options);
  }

  /** Runs a shell script in the guest without its agent; works while the agent hangs or file systems are frozen. */
  async shell(script: string, timeoutMs = HANG_MS): Promise<ShellResult> {
    return controlShell(await this.controlSocket(), script, timeoutMs);
  }

  /** As `shell`, but throws unless the script ends with exit code 0; returns its output. */
  async mustShell(script: string, timeoutMs = HANG_MS): Promise<string> {
    const result = await this.shell(script, timeoutMs);
    if (result.exitCode !== 0) throw new Error(`script in guest ${this.name} failed (${result.exitCode}): ${result.output}`);
    return result.output;
  }

  /** Writes a small file (up to 1 MiB) in the guest; it is on the guest's disk when this returns. */
  async writeFile(path: string, content: string | Uint8Array): Promise<void> {
    const encoded = Buffer.from(content).toString('base64');
    await this.mustShell(`set -e\nbase64 -d > ${quote(path)} <<'END'\n${encoded}\nEND\nsync`);
  }

  async readFile(path: string): Promise<Buffer> {
    return Buffer.from(await this.mustShell(`base64 ${quote(path)}`), 'base64');
  }

  /** SHA-256 of files in the guest, read from disk, by path. */
  async digests(...paths: string[]): Promise<Record<string, string>> {
    const output = await this.mustShell(`echo 3 > /proc/sys/vm/drop_caches\nsha256sum ${paths.map(quote).join(' ')}`, 600_000);
    const lines = output.trim().split('\n');
    return Object.fromEntries(paths.map((path, index) => [path, lines[index]?.split(' ')[0] ?? '']));
  }

  /** Fills a file in the guest with known bytes (see content.ts: `knownBytes(seed, mib * 1024 * 1024)`), synced. */
  async fillRandom(path: string, mib: number, seed: string): Promise<void> {
    await this.mustShell(`set -- ${quote(path)}\n${fillScript(seed, mib * 1024 * 1024)}`, 600_000);
  }

  async fsfreezeStatus(): Promise<'thawed' | 'frozen'> {
    return agentCall(this.host, this.uuid, 'guest-fsfreeze-status');
  }

  /** Ends the guest agent for good, as a crashed one. */
  async stopAgent(): Promise<void> {
    await this.mustShell('kill -9 $(pidof qemu-ga)');
  }

  /** Stops the guest agent where it is: libvirt sees a connected agent that never answers. */
  async hangAgent(): Promise<void> {
    await this.mustShell('kill -STOP $(pidof qemu-ga)');
  }

  /** Lets a hanging agent go on; it then works through what was sent to it meanwhile. */
  async resumeAgent(): Promise<void> {
    await this.mustShell('kill -CONT $(pidof qemu-ga)');
  }

  /** One QMP command on the VM's QEMU; returns its `return` value. */
  async qmp<T = unknown>(execute: string, args?: Record<string, unknown>): Promise<T> {
    const command = JSON.stringify({ execute, ...(args === undefined ? {} : { arguments: args }) });
    const answer = JSON.parse(await this.host.virsh('qemu-monitor-command', this.uuid, '--cmd', command)) as {
      return: T;
      error?: { desc: string };
    };
    if (answer.error !== undefined) throw new Error(`QMP ${execute} on ${this.name}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Outer process id of the VM's QEMU, or undefined when none runs on its host. */
  async qemuPid(): Promise<number | undefined> {
    const all = await this.host.processes();
    const mine = all.find((one) => /qemu-system/.test(one.argv[0] ?? '') && one.argv.includes(this.uuid));
    return mine?.outerPid;
  }

  /** Kills the VM's QEMU with SIGKILL and waits until it is gone. */
  async killQemu(): Promise<void> {
    const pid = await this.qemuPid();
    if (pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    await waitUntil(`QEMU of ${this.name} has ended`, async () => (await this.qemuPid()) === undefined, { intervalMs: 5 });
  }

  /** Somebody puts these files over disks, by target, in one moment, and keeps no record of it. The other disks stay as they are. */
  async snapshotByHand(files: Readonly<Record<string, string>>): Promise<void> {
    const specs = Object.keys(await this.diskPaths()).flatMap((target) => {
      const file = files[target];
      return ['--diskspec', `${target},${file === undefined ? 'snapshot=no' : `file=${file}`}`];
    });
    await this.host.virsh('snapshot-create-as', this.uuid, '--disk-only', '--atomic', '--no-metadata', ...specs);
  }

  private async sources(...flags: string[]): Promise<Record<string, string>> {
    const xml = await this.host.virsh('dumpxml', this.uuid, ...flags);
    const found: Record<string, string> = {};
    for (const [disk] of xml.matchAll(/<disk [\s\S]*?<\/disk>/g)) {
      const target = /<target dev='([^']*)'/.exec(disk)?.[1];
      // The disk's own source comes before those of its backing store and of a mirror.
      const source = /<source file=(?:'([^']*)'|"([^"]*)")/.exec(disk);
      if (target !== undefined && source !== null) found[target] = unescapeXml(source[1] ?? source[2] ?? '');
    }
    return found;
  }

  private async controlSocket(): Promise<string> {
    const xml = await this.host.virsh('dumpxml', this.uuid);
    const channel = [...xml.matchAll(/<channel type='unix'>[\s\S]*?<\/channel>/g)].find(([one]) => one.includes(controlPort));
    const path = /path='([^']*)'/.exec(channel?.[0] ?? '')?.[1];
    if (path === undefined) throw new Error(`${this.name} has no control port; is it running?`);
    return unescapeXml(path).replace(/^\/var\/lib\/libvirt\//, `${this.host.dir}/lib/`);
  }
}

/** Quotes text as one word of a shell script that runs in a guest. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };
  return text.replace(/&(#x[0-9a-fA-F]+|#\d+|\w+);/g, (whole, name: string) => {
    if (name.startsWith('#x')) return String.fromCodePoint(parseInt(name.slice(2), 16));
    if (name.startsWith('#')) return String.fromCodePoint(Number(name.slice(1)));
    return named[name] ?? whole;
  });
}
