/**
 * The moment of a backup: freeze (when wished) → one atomic snapshot → thaw, as separate calls. Owns the freeze budget.
 * Order: duty "thaw" durable → freeze → snapshot → thaw until the guest says thawed → duty gone.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { discardDelta } from '../merge/discard-delta.js';
import { chainPaths, diskOf, observeSettled, withHypervisor } from '../shared/observe-settled.js';
import type { TakeBackupRequest } from '../requests.js';
import type { Preflight } from './preflight.js';

const CALL_MS = 5_000;

/** What the journal keeps of the moment (a type, not an interface: it is also JSON). */
export type FreezeRecord = {
  readonly frozenAtUnixMs: number;
  readonly domainXml: string;
  /** Target → inode of the new delta. */
  readonly deltaInodes: { readonly [target: string]: string };
};

/** Freezes, snapshots and thaws. Returns what was recorded and how long the guest was frozen. */
export async function takeMoment(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  plan: Preflight,
): Promise<FreezeRecord & { quiesced: boolean; frozenMs: number }> {
  const { vmUuid } = request.header;
  // Goes into the snapshot's intent: it must be of the time before, also in a later life, and is not fetched while frozen.
  const domainXml = await withHypervisor(ports, () => ports.hypervisor.domainXml(vmUuid, 'persistent'));
  const froze = plan.freeze
    ? await context.step('freeze', '', { budgetMs: request.freezeBudgetMs }, (_intent, { repeated }) =>
        freeze(ports, request, repeated),
      )
    : undefined;
  if (froze?.reason !== undefined) context.warn(`Not quiesced: ${froze.reason}`);
  const frozen = froze?.frozen === true;

  let budgetPassed = false;
  const budget = new AbortController();
  if (frozen) {
    void ports.clock
      .sleep(Math.max(0, froze.startedAtUnixMs + request.freezeBudgetMs - ports.clock.now()), budget.signal)
      .then(async () => {
        if (budget.signal.aborted) return;
        budgetPassed = true;
        await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
      });
  }
  try {
    const targets = Object.fromEntries(request.volumes.map((volume) => [volume.target, volume.newDeltaPath]));
    const wish = { targets, frozen, domainXml, intendedAtUnixMs: ports.clock.now() };
    const record = await context.step('snapshot', '', wish, async (intent, { repeated }) => {
      if (repeated && intent.frozen) {
        // Whether the snapshot fell inside the freeze cannot be known any more; a backup must not claim it.
        throw new HoldfastError(
          'INTERRUPTED',
          'The agent was restarted while the guest was frozen; the backup is taken back. Take it again.',
          { vmId: vmUuid },
        );
      }
      const taken = await snapshot(ports, request, context, repeated);
      return { frozenAtUnixMs: intent.intendedAtUnixMs, domainXml: intent.domainXml, ...taken };
    });
    if (!frozen) return { ...record, quiesced: false, frozenMs: 0 };
    const thawed = await context.step('thaw', '', {}, async () => {
      const stillFrozen = (await isFrozen(ports, vmUuid)) && !budgetPassed;
      await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
      return { quiesced: stillFrozen, frozenMs: ports.clock.now() - froze.startedAtUnixMs };
    });
    if (!thawed.quiesced) {
      const reason = `the guest was thawed before the snapshot was finished (budget ${request.freezeBudgetMs} ms)`;
      if (request.quiesce === 'require') throw new HoldfastError('FREEZE_FAILED', `Not quiesced: ${reason}.`, { vmId: vmUuid });
      context.warn(`Not quiesced: ${reason}. The backup is crash-consistent.`);
    }
    return { ...record, ...thawed };
  } finally {
    budget.abort();
    await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
  }
}

async function freeze(
  ports: CommandPorts,
  request: TakeBackupRequest,
  repeated: boolean,
): Promise<{ frozen: boolean; startedAtUnixMs: number; reason?: string }> {
  const { vmUuid } = request.header;
  if (repeated) {
    await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
  }
  const startedAtUnixMs = ports.clock.now();
  await ports.duties.owe(vmUuid, 'thaw');
  try {
    await ports.hypervisor.freeze(vmUuid, request.freezeBudgetMs);
    return { frozen: true, startedAtUnixMs };
  } catch (thrown) {
    await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
    const error = HoldfastError.from(thrown);
    const reason = `the guest could not be frozen within ${request.freezeBudgetMs} ms (${error.message})`;
    if (request.quiesce === 'try')
      return { frozen: false, startedAtUnixMs, reason: `${reason}. The backup is crash-consistent.` };
    throw new HoldfastError(
      'FREEZE_FAILED',
      `Not quiesced: ${reason}. Look at the guest's agent, or ask for quiesce "try".`,
      { vmId: vmUuid },
      { cause: error },
    );
  }
}

async function isFrozen(ports: CommandPorts, vmUuid: string): Promise<boolean> {
  try {
    return (await withHypervisor(ports, () => ports.hypervisor.freezeStatus(vmUuid, CALL_MS))) === 'frozen';
  } catch {
    return false;
  }
}

type SnapshotSight = 'none' | 'all' | 'mixed';

async function snapshot(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  repeated: boolean,
): Promise<Pick<FreezeRecord, 'deltaInodes'>> {
  const { vmUuid } = request.header;
  let domain = repeated ? await observeAgain(ports, request, context) : undefined;
  if (domain === undefined || sight(request, domain) !== 'all') {
    if (domain !== undefined) await removeLeftovers(ports, request, context, domain);
    try {
      await ports.hypervisor.snapshotDisks(
        vmUuid,
        request.volumes.map((volume) => ({ target: volume.target, newPath: volume.newDeltaPath })),
      );
    } catch (thrown) {
      // Unknown, not failed: what counts is which files QEMU writes to now.
      domain = await observeAgain(ports, request, context);
      if (sight(request, domain) !== 'all') throw HoldfastError.from(thrown);
      context.warn('The snapshot call failed, and yet the snapshot is there.');
    }
    domain = await observeAgain(ports, request, context);
  }
  if (sight(request, domain) !== 'all') {
    throw new HoldfastError('CHAIN_UNEXPLAINED', `After the snapshot VM ${domain.name} does not use all the new deltas.`, {
      vmId: vmUuid,
    });
  }
  refuseDrift(request, domain);
  const deltaInodes = Object.fromEntries(
    request.volumes.map((volume) => [volume.target, String(diskOf(domain, volume.target).layers[0]?.inode)]),
  );
  return { deltaInodes };
}

/** libvirt does not write a disk whose persistent definition it could not match; the next start would use the old layer. */
function refuseDrift(request: TakeBackupRequest, domain: ObservedDomain): void {
  if (!domain.persistent) return;
  const drifted = request.volumes.filter((volume) => diskOf(domain, volume.target).definedPath !== volume.newDeltaPath);
  if (drifted.length === 0) return;
  throw new HoldfastError(
    'DEFINITION_DRIFT',
    `After the snapshot the persistent definition of VM ${domain.name} still names another file for ${drifted.map((volume) => volume.target).join(', ')}.`,
    { vmId: domain.uuid },
  );
}

async function observeAgain(ports: CommandPorts, request: TakeBackupRequest, context: StepContext): Promise<ObservedDomain> {
  const domain = await observeSettled(ports, request.header.vmUuid, context.log);
  if (domain === undefined)
    throw new HoldfastError('NOT_FOUND', `VM ${request.header.vmName} is gone.`, { vmId: request.header.vmUuid });
  return domain;
}

function sight(request: TakeBackupRequest, domain: ObservedDomain): SnapshotSight {
  const switched = request.volumes.filter((volume) => chainPaths(diskOf(domain, volume.target)).includes(volume.newDeltaPath));
  if (switched.length === request.volumes.length) return 'all';
  return switched.length === 0 ? 'none' : 'mixed';
}

/** Overlays of a snapshot that did not happen: not in the chain, so nothing was ever written through them. */
async function removeLeftovers(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  domain: ObservedDomain,
): Promise<void> {
  for (const volume of request.volumes) {
    if (chainPaths(diskOf(domain, volume.target)).includes(volume.newDeltaPath)) continue;
    await discardDelta(ports, context, request.header.vmUuid, volume.newDeltaPath);
  }
}
