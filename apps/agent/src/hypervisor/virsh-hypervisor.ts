/**
 * The real hypervisor: libvirt through virsh, QEMU through its monitor, the kernel's process table and image headers.
 * Owns the mapping of the port's words to calls. Decides nothing that a command must decide.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageTool } from '../images/image-tool.js';
import type { FileLooks } from '../looks/file-looks.js';
import type { Log } from '../logging/log.js';
import { InTurn } from '../process/in-turn.js';
import type { ToolRunner } from '../process/tool-runner.js';
import { Definitions } from './definitions.js';
import { readDomain } from './domain-facts.js';
import { DomainObserver } from './domain-observer.js';
import { DomainReader } from './domain-reader.js';
import { diskSources, snapshotXml } from './domain-xml.js';
import { filesInUse } from './files-in-use.js';
import type { BlockJob, CommitWish, Hypervisor } from './hypervisor.js';
import { tendOrphan } from './orphan-care.js';
import { QemuProcesses } from './qemu-processes.js';
import { qmpThroughLibvirt } from './qmp.js';
import { StepRepair } from './step-repair.js';
import { releaseUnusedNodes } from './unused-nodes.js';
import { VirshSessions } from './virsh-sessions.js';
import { demandUuid, Virsh } from './virsh.js';

export interface VirshHypervisorOptions {
  readonly tools: ToolRunner;
  readonly looks: FileLooks;
  readonly images: ImageTool;
  /** For example `qemu:///system`. */
  readonly uri: string;
  /** libvirt's state folder, /var/lib/libvirt. */
  readonly libDir: string;
  /** The kernel's process table, /proc. */
  readonly procDir: string;
  /** Folders in which disks of VMs live; a layer elsewhere is refused. */
  readonly allowedRoots: () => readonly string[];
  readonly log: Log;
  /** Whom questions are put to before a process is started for them; kept virsh processes of its own when not given. */
  readonly sessions?: Pick<VirshSessions, 'ask'>;
}

/** virsh gets this much longer than the guest agent, which libvirt gives up on by itself. */
const AGENT_MARGIN_MS = 10_000;
/** A snapshot waits for writes in flight. */
const SNAPSHOT_MS = 60_000;

/** virsh's names of block jobs that may be ours (LC_ALL=C). */
const JOB_KINDS: ReadonlyMap<string, BlockJob['kind']> = new Map([
  ['Block Commit', 'commit'],
  ['Active Block Commit', 'active-commit'],
]);

export class VirshHypervisor implements Hypervisor {
  private readonly virsh: Virsh;
  private readonly reader: DomainReader;
  private readonly definitions: Definitions;
  private readonly processes: QemuProcesses;
  private readonly observer: DomainObserver;
  /** A command and a duty may want the same VM mended at once. */
  private readonly repairs = new InTurn();

  constructor(private readonly options: VirshHypervisorOptions) {
    const { tools, looks, images, allowedRoots } = options;
    this.virsh = new Virsh(tools, options.uri, options.sessions ?? new VirshSessions(options));
    this.reader = new DomainReader(this.virsh);
    this.definitions = new Definitions(this.virsh);
    this.processes = new QemuProcesses(options.libDir, options.procDir);
    this.observer = new DomainObserver({ looks, images, allowedRoots, reader: this.reader, processes: this.processes });
  }

  available(): Promise<boolean> {
    return this.virsh.answers();
  }

  async versions(): Promise<{ libvirt: string; qemu: string }> {
    const text = await this.virsh.call(['version', '--daemon']);
    const libvirt = /^Running against daemon: (\S+)$/m.exec(text)?.[1] ?? '';
    const qemu = /^Running hypervisor: QEMU (\S+)$/m.exec(text)?.[1] ?? '';
    return { libvirt, qemu };
  }

  async observe(uuid: string): Promise<ObservedDomain | undefined> {
    return this.observer.observe(checked(uuid));
  }

  observeAll(): Promise<ObservedDomain[]> {
    return this.observer.observeAll();
  }

  async pathsInUseByOthers(uuid: string): Promise<ReadonlySet<string>> {
    const others = [...(await this.reader.knownAll(checked(uuid))).values()];
    const domains = others.map((known) => {
      if (!('error' in known)) return known;
      throw known.error;
    });
    return filesInUse(this.options, domains);
  }

  async domainXml(uuid: string, which: 'live' | 'persistent'): Promise<string> {
    return which === 'live' ? this.definitions.live(checked(uuid)) : this.definitions.persistent(checked(uuid));
  }

  define(xml: string): Promise<void> {
    return this.definitions.define(xml);
  }

  async definedSources(uuid: string): Promise<ReadonlyMap<string, string>> {
    return diskSources(await this.definitions.persistent(checked(uuid)));
  }

  async snapshotDisks(uuid: string, disks: readonly { target: string; newPath: string }[]): Promise<void> {
    const { targets } = readDomain(await this.definitions.live(checked(uuid)));
    await this.definitions.withFile(snapshotXml(disks, targets), (path) =>
      this.virsh.call(
        ['snapshot-create', '--domain', checked(uuid), '--xmlfile', path, '--disk-only', '--atomic', '--no-metadata'],
        {
          uuid: checked(uuid),
          deadlineMs: SNAPSHOT_MS,
        },
      ),
    );
  }

  async forgetSnapshot(uuid: string, name: string): Promise<void> {
    const known = (await this.onDomain(uuid, ['snapshot-list', '--name'])).split('\n');
    if (known.includes(name)) await this.onDomain(uuid, ['snapshot-delete', '--metadata', '--snapshotname', name]);
  }

  async hasSavedState(uuid: string): Promise<boolean> {
    const saved = await this.virsh.call(['list', '--all', '--with-managed-save', '--uuid']);
    return saved.split('\n').includes(checked(uuid));
  }

  async checkpoints(uuid: string): Promise<readonly string[]> {
    const names = await this.onDomain(uuid, ['checkpoint-list', '--name']);
    return names.split('\n').filter((name) => name !== '');
  }

  async savedSources(uuid: string): Promise<ReadonlyMap<string, string>> {
    return diskSources(await this.onDomain(uuid, ['managedsave-dumpxml']));
  }

  async freeze(uuid: string, timeoutMs: number): Promise<number> {
    const count = await this.askGuestAgent(uuid, 'guest-fsfreeze-freeze', timeoutMs);
    if (typeof count === 'number') return count;
    throw new HoldfastError('TOOL_FAILED', `The guest agent of VM ${uuid} does not say how many file systems it froze.`, {
      tool: 'guest-agent',
      vmId: uuid,
    });
  }

  async thaw(uuid: string, timeoutMs: number): Promise<void> {
    await this.askGuestAgent(uuid, 'guest-fsfreeze-thaw', timeoutMs);
  }

  async freezeStatus(uuid: string, timeoutMs: number): Promise<'frozen' | 'thawed'> {
    const status = await this.questionGuestAgent(uuid, 'guest-fsfreeze-status', timeoutMs);
    if (status === 'frozen' || status === 'thawed') return status;
    throw new HoldfastError(
      'TOOL_FAILED',
      `The guest agent of VM ${uuid} answers ${JSON.stringify(status)} when asked whether it is frozen.`,
      {
        tool: 'guest-agent',
        vmId: uuid,
      },
    );
  }

  async suspend(uuid: string): Promise<void> {
    await this.onDomain(uuid, ['suspend']);
  }

  async resume(uuid: string): Promise<void> {
    await this.onDomain(uuid, ['resume']);
  }

  async startCommit(uuid: string, target: string, wish: CommitWish): Promise<void> {
    const active = wish.active ? ['--active'] : [];
    await this.onDomain(uuid, ['blockcommit', '--path', target, '--base', wish.base, '--top', wish.top, ...active]);
  }

  async blockJob(uuid: string, target: string): Promise<BlockJob | undefined> {
    const text = await this.onDomain(uuid, ['blockjob', '--path', target, '--info', '--raw']);
    const kind = JOB_KINDS.get(/^\s*type=(.*)$/m.exec(text)?.[1]?.trim() ?? '') ?? 'other';
    const cur = /^\s*cur=(\d+)$/m.exec(text)?.[1];
    const end = /^\s*end=(\d+)$/m.exec(text)?.[1];
    return cur === undefined || end === undefined ? undefined : { kind, cur: BigInt(cur), end: BigInt(end) };
  }

  async pivotTarget(uuid: string, target: string): Promise<string | undefined> {
    const { disks } = readDomain(await this.definitions.live(checked(uuid)));
    return disks.find((disk) => disk.target === target)?.mirrorPath;
  }

  async pivot(uuid: string, target: string): Promise<void> {
    await this.onDomain(uuid, ['blockjob', '--path', target, '--pivot']);
  }

  async bringQemuBackInStep(uuid: string): Promise<string[]> {
    const qmp = qmpThroughLibvirt(this.virsh, checked(uuid));
    const { reader, definitions } = this;
    const { images, log } = this.options;
    return this.repairs.run(checked(uuid), () => new StepRepair({ reader, definitions, images, log }, checked(uuid), qmp).run());
  }

  async releaseUnusedLayers(uuid: string, paths: readonly string[]): Promise<void> {
    await releaseUnusedNodes(qmpThroughLibvirt(this.virsh, checked(uuid)), paths);
  }

  async tendOrphan(uuid: string): Promise<void> {
    const { reader, definitions, processes } = this;
    await tendOrphan({ reader, definitions, processes, log: this.options.log }, checked(uuid));
  }

  /**
   * One request to the guest agent, with the time that libvirt may wait for it: `domfsfreeze` and `domfsthaw` have none of
   * their own, and the domain's (`guest-agent-timeout`, for ever by default) belongs to the operator.
   */
  private async askGuestAgent(uuid: string, request: string, timeoutMs: number): Promise<unknown> {
    const args = ['--timeout', String(seconds(timeoutMs)), '--cmd', JSON.stringify({ execute: request })];
    return this.returned(uuid, request, await this.onDomain(uuid, ['qemu-agent-command', ...args], timeoutMs + AGENT_MARGIN_MS));
  }

  /** As askGuestAgent, for what changes nothing in the guest. One that does not answer has cost its time already. */
  private async questionGuestAgent(uuid: string, request: string, timeoutMs: number): Promise<unknown> {
    const began = performance.now();
    const cmd = JSON.stringify({ execute: request });
    const command = `qemu-agent-command --domain ${checked(uuid)} --timeout ${seconds(timeoutMs)} --cmd '${cmd}'`;
    const kept = await this.virsh.kept(command, timeoutMs + AGENT_MARGIN_MS);
    if (kept !== undefined) return this.returned(uuid, request, kept);
    return this.askGuestAgent(uuid, request, Math.max(1_000, timeoutMs - (performance.now() - began)));
  }

  private returned(uuid: string, request: string, answer: string): unknown {
    const parsed = JSON.parse(answer) as { return?: unknown };
    if ('return' in parsed) return parsed.return;
    throw new HoldfastError('TOOL_FAILED', `The guest agent of VM ${uuid} refused ${request}.`, {
      tool: 'guest-agent',
      vmId: uuid,
    });
  }

  private async onDomain(uuid: string, args: readonly string[], deadlineMs?: number): Promise<string> {
    const [command = '', ...rest] = args;
    return this.virsh.call([command, '--domain', checked(uuid), ...rest], { uuid: checked(uuid), deadlineMs });
  }
}

function checked(uuid: string): string {
  demandUuid(uuid);
  return uuid.toLowerCase();
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}
