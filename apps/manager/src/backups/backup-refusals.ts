/** What keeps a VM from being backed up or snapshotted, found before anything is touched. Pure. */
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';

export interface RefusalVm {
  readonly id: string;
  readonly name: string;
  readonly powerState: string;
  readonly protectionState: 'Ok' | 'MergePending' | 'BackupError';
  readonly protectionReason: ErrorData | null;
  readonly guestAgent: boolean;
  /** What Holdfast is doing to it now, which may pause it for a moment. */
  readonly activeOperationId: string | null;
  readonly problems: readonly ErrorData[];
}

export interface RefusalVolume {
  readonly target: string;
  readonly refusal: ErrorData | null;
}

/** What speaks against any work on the VM's disks; undefined when nothing does. */
export function chainRefusal(
  vm: Pick<RefusalVm, 'id' | 'name' | 'protectionState' | 'protectionReason' | 'problems'>,
): HoldfastError | undefined {
  const fields = { vmId: vm.id };
  if (vm.protectionState === 'BackupError') {
    const why = vm.protectionReason?.message ?? 'its disks are not in a state that Holdfast can explain';
    return new HoldfastError(
      'CHAIN_UNEXPLAINED',
      `The VM "${vm.name}" is in BackupError: ${why} See what would be done with "holdfast vm finish-chain --dry-run", then finish its chain.`,
      fields,
    );
  }
  const problem = vm.problems[0];
  return problem === undefined ? undefined : HoldfastError.fromData({ ...problem, fields: { ...problem.fields, ...fields } });
}

/**
 * The first thing that speaks against a backup; undefined when nothing does. `volumes`: the attached ones. `done`: what is to
 * be done to them, for the message.
 */
export function backupRefusal(
  vm: RefusalVm,
  volumes: readonly RefusalVolume[],
  quiesce: 'no' | 'try' | 'require',
  done: 'backed up' | 'snapshotted' = 'backed up',
): HoldfastError | undefined {
  const fields = { vmId: vm.id };
  const chain = chainRefusal(vm);
  if (chain !== undefined) return chain;
  const refused = volumes.filter((volume) => volume.refusal !== null);
  const first = refused[0]?.refusal;
  if (first !== undefined && first !== null) {
    const all = refused.map((volume) => `${volume.target}: ${volume.refusal?.message ?? ''}`).join('; ');
    return new HoldfastError(first.code, `The VM "${vm.name}" cannot be ${done}. ${all}`, {
      ...first.fields,
      ...fields,
      target: refused.map((volume) => volume.target).join(','),
    });
  }
  if (volumes.length === 0) {
    return new HoldfastError(
      'DISK_UNSUPPORTED',
      `The VM "${vm.name}" has no disk that could be ${done}. Attach one first.`,
      fields,
    );
  }
  if (vm.powerState === 'Other') {
    return new HoldfastError(
      'WRONG_STATE',
      `The VM "${vm.name}" is neither running, paused nor shut off just now. Wait until it is, then try again.`,
      fields,
    );
  }
  if (quiesce === 'require' && vm.powerState === 'Paused' && vm.activeOperationId === null) {
    return new HoldfastError(
      'WRONG_STATE',
      `The VM "${vm.name}" is paused, so its guest cannot flush its file systems. Resume it (virsh resume), or ask for quiesce "try" or "no".`,
      fields,
    );
  }
  if (quiesce === 'require' && vm.powerState === 'Running' && !vm.guestAgent) {
    return new HoldfastError(
      'GUEST_AGENT_MISSING',
      `The guest agent of the VM "${vm.name}" does not answer, so its file systems cannot be frozen. Install and start qemu-guest-agent in the guest, or ask for quiesce "try" or "no".`,
      fields,
    );
  }
  return undefined;
}
