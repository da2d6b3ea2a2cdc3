/** What GetHostInfo answers: the manager's heartbeat, so nothing in it may wait for a storage or a libvirt that hangs. */
import { hostname } from 'node:os';
import type { GetHostInfoResponse, PrimaryPool } from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { PROTOCOL_VERSION } from '@holdfast/shared/wire/protocol.js';
import type { Clock } from '../clock/clock.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { ImageTool } from '../images/image-tool.js';
import type { TargetFiles } from '../secondary/target-files.js';

export interface HostInfoOptions {
  readonly hostId: string;
  readonly agentVersion: string;
  readonly hypervisor: Pick<Hypervisor, 'available' | 'versions'>;
  readonly images: Pick<ImageTool, 'version'>;
  readonly files: Pick<TargetFiles, 'space'>;
  readonly primaryPools: readonly string[];
  readonly maxConcurrentOperations: number;
  readonly runningOperations: () => number;
  readonly clock: Clock;
}

const PATIENCE_MS = 2_000;

export class HostInfo {
  private readonly startedAtMs: number;
  private readonly pools = new Map<string, PrimaryPool>();
  private versions: { libvirt: string; qemu: string } | undefined;
  private imagesVersion = '';

  constructor(private readonly options: HostInfoOptions) {
    this.startedAtMs = options.clock.now();
  }

  async get(): Promise<GetHostInfoResponse> {
    const { options } = this;
    const [hypervisorAvailable, primaryPools] = await Promise.all([
      this.within(options.hypervisor.available(), false),
      Promise.all(options.primaryPools.map((path) => this.pool(path))),
    ]);
    // A libvirt that was away may come back as another version.
    if (!hypervisorAvailable) this.versions = undefined;
    else this.versions ??= await this.within(options.hypervisor.versions(), undefined);
    if (this.imagesVersion === '') this.imagesVersion = await this.within(options.images.version(), '');
    return {
      hostId: options.hostId,
      hostname: hostname(),
      agentVersion: options.agentVersion,
      protocolVersion: PROTOCOL_VERSION,
      libvirtVersion: this.versions?.libvirt ?? '',
      qemuVersion: this.versions?.qemu ?? '',
      qemuImgVersion: this.imagesVersion,
      hypervisorAvailable,
      primaryPools,
      maxConcurrentOperations: options.maxConcurrentOperations,
      runningOperations: options.runningOperations(),
      startedAtUnixMs: BigInt(this.startedAtMs),
    };
  }

  /** A pool that does not answer now is shown as it was last seen. */
  private async pool(path: string): Promise<PrimaryPool> {
    const space = await this.within(this.options.files.space(path), undefined);
    const pool = space === undefined ? (this.pools.get(path) ?? { path, totalBytes: 0n, freeBytes: 0n }) : { path, ...space };
    this.pools.set(path, pool);
    return pool;
  }

  private async within<T>(call: Promise<T>, otherwise: T): Promise<T> {
    const answered = new AbortController();
    const late = this.options.clock.sleep(PATIENCE_MS, answered.signal).then(() => otherwise);
    try {
      return await Promise.race([call.catch(() => otherwise), late]);
    } finally {
      answered.abort();
    }
  }
}
