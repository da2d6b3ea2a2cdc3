/** Everything that commands may touch, handed in once. Owns nothing. */
import type { Clock } from '../clock/clock.js';
import type { GuestDuties } from '../guest-duties/guest-duties.js';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import type { ImageTool } from '../images/image-tool.js';
import type { StorageLeases } from '../secondary/storage-leases.js';
import type { StartBarrier } from '../start-guard/start-guard.js';
import type { TargetFiles } from '../secondary/target-files.js';

export interface CommandPorts {
  readonly hypervisor: Hypervisor;
  readonly images: ImageTool;
  readonly files: TargetFiles;
  readonly storages: StorageLeases;
  readonly duties: GuestDuties;
  readonly starts: StartBarrier;
  readonly clock: Clock;
  /** For manifests. */
  readonly hostname: string;
  readonly agentVersion: string;
}
