/** Which of two hosts a VM is on, when both know it. Pure. */

export interface HostClaim {
  readonly hostId: string | null;
  readonly powerState: 'Running' | 'Paused' | 'Stopped' | 'Other' | 'Unknown' | 'Gone';
}

/**
 * True when an observation on `seenHostId` replaces what is known. A host that runs the VM wins over one that only has its
 * definition (a migration leaves one behind); between two that do not run it, the one known first stays. A mere definition
 * is no news either while the VM's own host does not answer: the VM may run there, on files that the definition knows nothing of.
 */
export function isTaken(known: HostClaim, seenHostId: string, seen: 'Running' | 'Paused' | 'Stopped' | 'Other'): boolean {
  if (known.hostId === null || known.hostId === seenHostId) return true;
  if (known.powerState === 'Gone') return true;
  if (known.powerState === 'Unknown') return seen !== 'Stopped';
  return seen === 'Running' || (seen === 'Paused' && known.powerState !== 'Running');
}
