/**
 * Mends a domain whose QEMU writes to an overlay that libvirt does not know (libvirtd died between QEMU's snapshot and its
 * own note of it). Owns the order of that repair:
 *
 *   persistent definition → what QEMU really uses (a power-off now starts the right file)
 *   block commit of the overlay into the file that libvirt names, for every such disk, while the guest runs
 *   guest stopped → converged → pivot → seen in query-block (both files are identical now, whatever dies)
 *   QEMU lets go of the overlay (its nodes are deleted, their names are libvirt's next ones)
 *   persistent definition → the file that libvirt names; guest goes on
 *
 * Every step looks first whether it is done, so the whole may be repeated after a death anywhere. The guest is stopped
 * through QEMU itself: libvirt then shows "paused, reason unknown", which tells a later run that the pause was ours.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import type { ImageTool } from '../images/image-tool.js';
import type { Log } from '../logging/log.js';
import type { Definitions } from './definitions.js';
import type { DomainReader } from './domain-reader.js';
import type { DiskSource } from './domain-xml.js';
import { compareDisks, isPausedBehindLibvirt, samePath, type Known } from './observe.js';
import { isFormatNode, qemuDiskOf, type BlockNodes, type QemuDisk } from './qemu-block.js';
import type { Qmp } from './qmp.js';
import { releaseUnusedNodes } from './unused-nodes.js';

const POLL_MS = 50;
/** A commit whose counters stand still for this long is stuck. */
const STUCK_MS = 120_000;
/** The longest that the guest stands still; afterwards it goes on and the repair fails, to be repeated. */
const STOPPED_MS = 10_000;

interface BlockJobInfo {
  readonly device: string;
  readonly offset: number;
  readonly len: number;
  readonly ready: boolean;
}

/** One disk that is out of step. */
interface Astray {
  readonly target: string;
  /** What libvirt names and QEMU shall be on. */
  readonly wanted: { path: string; format: ImageFormat };
  /** What QEMU has open above it, active first. */
  readonly above: readonly { path: string; format: ImageFormat }[];
  /** QEMU left those layers already (an interrupted repair). */
  readonly pivoted: boolean;
}

export interface RepairPorts {
  readonly reader: DomainReader;
  readonly definitions: Definitions;
  readonly images: ImageTool;
  readonly log: Log;
}

export class StepRepair {
  constructor(
    private readonly ports: RepairPorts,
    private readonly uuid: string,
    private readonly qmp: Qmp,
  ) {}

  /** As Hypervisor.bringQemuBackInStep. */
  async run(): Promise<string[]> {
    const known = await this.look();
    const astray = await this.astray(known);
    if (astray.length === 0) {
      // An earlier run may have died between the last definition and this.
      if (isPausedBehindLibvirt(known.state) && (await this.status()) === 'paused') await this.qmp.execute('cont');
      return [];
    }
    const persistent = known.persistent !== undefined;
    const open = astray.filter((disk) => !disk.pivoted);
    this.ports.log.warn('bringing QEMU back in step with libvirt', { vm: this.uuid, disks: astray });
    if (persistent) await this.ports.definitions.point(this.uuid, open.map(topOf));
    for (const disk of open) await this.startCommit(disk);
    await this.untilReady(open);
    const stoppedBefore = isPausedBehindLibvirt(known.state);
    const stop = (await this.status()) === 'running';
    try {
      if (stop) await this.qmp.execute('stop');
      await this.pivot(open);
      await releaseUnusedNodes(
        this.qmp,
        astray.flatMap((disk) => disk.above.map((layer) => layer.path)),
      );
    } finally {
      // Whatever happened: the definition first says what QEMU uses at this moment, and only then may the guest write again.
      if (persistent) await this.ports.definitions.point(this.uuid, await this.truth(astray));
      if (stop || stoppedBefore) await this.qmp.execute('cont');
    }
    return astray.flatMap((disk) => disk.above.map((layer) => layer.path));
  }

  private async look(): Promise<Known & { qemu: readonly QemuDisk[] }> {
    const known = await this.ports.reader.known(this.uuid);
    if (known === undefined)
      throw new HoldfastError('NOT_FOUND', `libvirt does not know the VM ${this.uuid}.`, { vmId: this.uuid });
    const { qemu } = known;
    if (qemu === undefined) {
      throw new HoldfastError(
        'WRONG_STATE',
        `VM ${known.current.name} does not run, so there is no QEMU to bring back in step.`,
        { vmId: this.uuid },
      );
    }
    return { ...known, qemu };
  }

  private async astray(known: Known): Promise<Astray[]> {
    const found: Astray[] = [];
    for (const { disk, attached, qemu, definedPath, problem } of compareDisks(known)) {
      if (problem?.code !== 'HYPERVISOR_OUT_OF_STEP' || !attached) continue;
      const wanted = { path: disk.path ?? '', format: disk.format as ImageFormat };
      const layers = (qemu?.layers ?? []).map(({ path, format }) => ({
        path: path ?? '',
        format: format === 'raw' ? ('raw' as const) : ('qcow2' as const),
      }));
      const depth = layers.findIndex((layer) => samePath(layer.path, wanted.path));
      if (depth > 0) found.push({ target: disk.target, wanted, above: layers.slice(0, depth), pivoted: false });
      else if (depth === 0)
        found.push({ target: disk.target, wanted, above: await this.leftBehind(definedPath, wanted.path), pivoted: true });
      else await this.giveUp(known, disk.target, wanted.path, layers[0]);
    }
    return found;
  }

  /** The layers between the file that the definition names and the one in use, by the headers. None when they are not related. */
  private async leftBehind(definedPath: string | undefined, wanted: string): Promise<{ path: string; format: ImageFormat }[]> {
    if (definedPath === undefined) return [];
    const [chain] = await this.ports.images.chains([{ path: definedPath, format: 'qcow2' }], ['/']);
    if (chain === undefined || chain instanceof Error) return [];
    const depth = chain.findIndex((layer) => layer.path === wanted);
    return depth === -1 ? [] : chain.slice(0, depth).map(({ path, format }) => ({ path, format }));
  }

  /** libvirt names a file that QEMU does not have open at all: nothing can be committed, but the next start can be made right. */
  private async giveUp(
    known: Known,
    target: string,
    wanted: string,
    top: { path: string; format: ImageFormat } | undefined,
  ): Promise<never> {
    if (known.persistent !== undefined && top !== undefined && top.path !== '') {
      await this.ports.definitions.point(this.uuid, [{ target, ...top }]);
    }
    throw new HoldfastError(
      'CHAIN_UNEXPLAINED',
      `Disk ${target} of VM ${known.current.name}: libvirt names ${wanted}, which QEMU does not have open; QEMU writes to ${top?.path ?? 'nothing'}. ` +
        'The persistent definition names that file now. Shut the VM down and start it again.',
      { vmId: this.uuid, target },
    );
  }

  private async startCommit(disk: Astray): Promise<void> {
    if ((await this.jobs()).has(jobId(disk))) return;
    const [top] = disk.above;
    if (top === undefined) return;
    const nodes = await this.qmp.execute<BlockNodes>('query-named-block-nodes', { flat: true });
    await this.qmp.execute('block-commit', {
      'job-id': jobId(disk),
      device: nodeOf(nodes, top.path),
      'base-node': nodeOf(nodes, disk.wanted.path),
    });
  }

  /** Waits while the guest runs; as long as a job moves, it is waited for. */
  private async untilReady(open: readonly Astray[]): Promise<void> {
    let moved = Date.now();
    let before = '';
    for (;;) {
      const jobs = await this.jobs();
      if (open.every((disk) => jobs.get(jobId(disk))?.ready === true)) return;
      const gone = open.find((disk) => !jobs.has(jobId(disk)));
      if (gone !== undefined) throw this.failed(gone, 'ended before it was ready');
      const now = [...jobs.values()].map((job) => `${job.device} ${job.offset} ${job.len}`).join();
      if (now !== before) moved = Date.now();
      before = now;
      if (Date.now() - moved > STUCK_MS) throw this.failed(open[0], 'stands still');
      await sleep(POLL_MS);
    }
  }

  private async pivot(open: readonly Astray[]): Promise<void> {
    const until = Date.now() + STOPPED_MS;
    const wait = async (what: string, done: () => Promise<boolean>) => {
      while (!(await done())) {
        if (Date.now() > until) throw this.failed(open[0], what);
        await sleep(10);
      }
    };
    await wait('did not converge while the guest stood still', async () => {
      const jobs = await this.jobs();
      return open.every((disk) => {
        const job = jobs.get(jobId(disk));
        return job !== undefined && job.ready && job.offset === job.len;
      });
    });
    for (const disk of open) await this.qmp.execute('job-complete', { id: jobId(disk) });
    await wait('did not end', async () => {
      const jobs = await this.jobs();
      return open.every((disk) => !jobs.has(jobId(disk)));
    });
    const known = await this.look();
    for (const disk of open) {
      const facts = known.current.disks.find((one) => one.target === disk.target);
      const top = facts === undefined ? undefined : qemuDiskOf(facts, known.qemu)?.layers[0]?.path;
      if (!samePath(top, disk.wanted.path)) throw this.failed(disk, `left QEMU on ${top ?? 'no file'}`);
    }
  }

  /** What QEMU has each of these disks on at this moment. */
  private async truth(astray: readonly Astray[]): Promise<DiskSource[]> {
    const known = await this.look();
    return astray.flatMap(({ target, wanted }): DiskSource[] => {
      const facts = known.current.disks.find((one) => one.target === target);
      const top = facts === undefined ? undefined : qemuDiskOf(facts, known.qemu)?.layers[0];
      if (top?.path === undefined) return [];
      return [
        {
          target,
          path: top.path,
          format: samePath(top.path, wanted.path) ? wanted.format : top.format === 'raw' ? 'raw' : 'qcow2',
        },
      ];
    });
  }

  private async jobs(): Promise<Map<string, BlockJobInfo>> {
    return new Map((await this.qmp.execute<BlockJobInfo[]>('query-block-jobs')).map((job) => [job.device, job]));
  }

  private async status(): Promise<string> {
    return (await this.qmp.execute<{ status: string }>('query-status')).status;
  }

  private failed(disk: Astray | undefined, what: string): HoldfastError {
    const files = disk === undefined ? '' : ` of ${disk.above[0]?.path} into ${disk.wanted.path}`;
    return new HoldfastError('TOOL_FAILED', `The block commit${files} ${what}. It is tried again with the next work on the VM.`, {
      tool: 'qmp',
      vmId: this.uuid,
      target: disk?.target ?? '',
    });
  }
}

function topOf(disk: Astray): DiskSource {
  const top = disk.above[0] ?? disk.wanted;
  return { target: disk.target, path: top.path, format: top.format };
}

function jobId(disk: Astray): string {
  return `holdfast-step-${disk.target}`;
}

/** The node that a disk or an overlay refers to: the format's, else the file's own. */
function nodeOf(nodes: BlockNodes, path: string): string {
  const own = nodes.filter((node) => node.file === path);
  const name = (own.find(isFormatNode) ?? own[0])?.['node-name'];
  if (name !== undefined) return name;
  throw new HoldfastError('TOOL_FAILED', `QEMU has no block node for ${path}.`, { tool: 'qmp', path });
}
