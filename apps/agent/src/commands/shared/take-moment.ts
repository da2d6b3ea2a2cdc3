/**
 * The moment of a backup or a VM snapshot: freeze (when wished) → one atomic snapshot → thaw, as separate calls; and the look at
 * what came of it, for which no guest waits: the caller says when. Owns the freeze budget.
 * Order: duty "thaw" durable → freeze → snapshot → thaw until the guest says thawed → duty gone; then the look.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import type { ErrorCode } from '@holdfast/shared/errors/error-codes.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandHeader, StepContext } from '../../operations/command.js';
import type { Relief } from '../../guest-duties/guest-duties.js';
import type { CommandPorts } from '../ports.js';
import { discardDelta } from '../merge/discard-delta.js';
import type { QuiesceWish } from '../requests.js';
import { explainSnapshotRefusal } from './explain-snapshot-refusal.js';
import { demandSavedWith } from './saved-state.js';
import { chainPaths, diskOf, observeSettled, withHypervisor } from './observe-settled.js';

const CALL_MS = 5_000;

/** Of which disks the moment is taken, and how. */
export interface MomentWish {
  readonly header: CommandHeader;
  /** What comes of it, for messages. */
  readonly what: 'backup' | 'snapshot';
  readonly quiesce: QuiesceWish;
  readonly freezeBudgetMs: number;
  /** What `decideFreeze` said before anything was touched. */
  readonly freeze: boolean;
  /** Each gets a new overlay; the VM's other disks stay as they are. */
  readonly disks: readonly { readonly target: string; readonly newPath: string }[];
}

/** What the journal keeps of the moment (a type, not an interface: it is also JSON): result of the step `snapshot`. */
export type FreezeRecord = {
  readonly frozenAtUnixMs: number;
  readonly domainXml: string;
};

/** What the look after it has seen: result of the step `look`. */
export type NewLayers = {
  /** Target → inode of the new overlay. The name is older than VM snapshots, and journals hold it. */
  readonly deltaInodes: { readonly [target: string]: string };
};

/**
 * After `takeMoment`, and before anything is final: the VM uses the new layers and starts from them. What the snapshot froze may
 * be read meanwhile. CHAIN_UNEXPLAINED, DEFINITION_DRIFT, NOT_FOUND; WRONG_STATE: it was saved with its memory before the snapshot.
 */
export async function lookAfterMoment(ports: CommandPorts, wish: MomentWish, context: StepContext): Promise<void> {
  await context.step('look', '', {}, () => look(ports, wish, context));
}

/** Freezes, snapshots and thaws. Returns what was recorded and how long the guest was frozen. */
export async function takeMoment(
  ports: CommandPorts,
  wish: MomentWish,
  context: StepContext,
): Promise<FreezeRecord & { quiesced: boolean; frozenMs: number }> {
  const { vmUuid } = wish.header;
  // Goes into the snapshot's intent: it must be of the time before, also in a later life, and is not fetched while frozen.
  const domainXml = await withHypervisor(ports, () => ports.hypervisor.domainXml(vmUuid, 'persistent'));
  const froze = wish.freeze
    ? await context.step('freeze', '', { budgetMs: wish.freezeBudgetMs }, (_intent, { repeated }) =>
        freeze(ports, wish, repeated),
      )
    : undefined;
  if (froze?.reason !== undefined) context.warn(`Not quiesced: ${froze.reason}`);
  const frozen = froze?.frozen === true;

  let budgetPassed = false;
  const budget = new AbortController();
  if (frozen) {
    void ports.clock
      .sleep(Math.max(0, froze.startedAtUnixMs + wish.freezeBudgetMs - ports.clock.now()), budget.signal)
      .then(async () => {
        if (budget.signal.aborted) return;
        budgetPassed = true;
        await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
      });
  }
  try {
    const targets = Object.fromEntries(wish.disks.map((disk) => [disk.target, disk.newPath]));
    const moment = { targets, frozen, domainXml, intendedAtUnixMs: ports.clock.now() };
    const record = await context.step('snapshot', '', moment, async (intent, { repeated }) => {
      if (repeated && intent.frozen) {
        // Whether the snapshot fell inside the freeze cannot be known any more; nothing must claim it.
        throw new HoldfastError(
          'INTERRUPTED',
          `The agent was restarted while the guest was frozen; the ${wish.what} is taken back. Take it again.`,
          { vmId: vmUuid },
        );
      }
      await snapshot(ports, wish, context, repeated);
      return { frozenAtUnixMs: intent.intendedAtUnixMs, domainXml: intent.domainXml };
    });
    if (!frozen) return { ...record, quiesced: false, frozenMs: 0 };
    const thawed = await context.step('thaw', '', {}, async () => {
      const status = await freezeStatus(ports, vmUuid);
      const before = budgetPassed ? 'thawed' : status;
      const hold = holdOf(before, await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS));
      if (hold !== 'held') await demandHere(ports, wish);
      return { quiesced: hold === 'held', hold, frozenMs: ports.clock.now() - froze.startedAtUnixMs };
    });
    if (!thawed.quiesced) {
      const reason =
        WHY_NOT_HELD[thawed.hold] ?? `the guest was thawed before the snapshot was finished (budget ${wish.freezeBudgetMs} ms)`;
      if (wish.quiesce === 'require') throw new HoldfastError('FREEZE_FAILED', `Not quiesced: ${reason}.`, { vmId: vmUuid });
      context.warn(`Not quiesced: ${reason}. The ${wish.what} is crash-consistent.`);
    }
    return { ...record, quiesced: thawed.quiesced, frozenMs: thawed.frozenMs };
  } finally {
    budget.abort();
    await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
  }
}

/** Whether the guest wrote nothing from its freeze until the snapshot was finished, as far as it can be known. */
type Hold = 'held' | 'released' | 'silent' | 'unproven';

const WHY_NOT_HELD: { readonly [hold in Hold]?: string } = {
  silent: 'the guest did not say whether it was still frozen when the snapshot was finished',
  unproven:
    'the guest said that it was frozen when the snapshot was finished, but did not confirm it when it was thawed (Windows holds its writes for 10 seconds at most, and tells only then that it let go)',
};

/**
 * `before`: what the guest said just before it was thawed. A Windows guest says "frozen" also when its VSS has let go by itself;
 * then the thaw is refused. One whose answer was lost may have refused it.
 */
function holdOf(before: 'frozen' | 'thawed' | undefined, relief: Relief): Hold {
  if (before === undefined) return 'silent';
  if (before === 'thawed') return 'released';
  return relief === 'relieved' ? 'held' : 'unproven';
}

type Freeze = { readonly frozen: boolean; readonly startedAtUnixMs: number; readonly reason?: string };

/** The call was cut off: libvirtd died in it, or the virsh that made it. */
const CUT_OFF: ReadonlySet<ErrorCode> = new Set(['HYPERVISOR_UNAVAILABLE', 'INTERRUPTED']);

/** A call that was cut off says nothing about the guest: freed, it is frozen once more when libvirtd answers. */
async function freeze(ports: CommandPorts, wish: MomentWish, repeated: boolean): Promise<Freeze> {
  const { vmUuid } = wish.header;
  if (!repeated) {
    try {
      return await freezeOnce(ports, wish);
    } catch (thrown) {
      if (!CUT_OFF.has(HoldfastError.from(thrown).code)) throw thrown;
      await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
    }
  }
  await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
  return freezeOnce(ports, wish);
}

/** HYPERVISOR_UNAVAILABLE, INTERRUPTED; FREEZE_FAILED when the guest must be frozen and cannot be, which otherwise is the reason. */
async function freezeOnce(ports: CommandPorts, wish: MomentWish): Promise<Freeze> {
  const { vmUuid } = wish.header;
  const startedAtUnixMs = ports.clock.now();
  await ports.duties.owe(vmUuid, 'thaw');
  const obstacle = await freezeNow(ports, wish);
  if (obstacle === undefined) return { frozen: true, startedAtUnixMs };
  await ports.duties.fulfil(vmUuid, 'thaw', CALL_MS);
  const { reason, cause } = obstacle;
  if (cause !== undefined && CUT_OFF.has(cause.code)) throw cause;
  if (wish.quiesce === 'try')
    return { frozen: false, startedAtUnixMs, reason: `${reason}. The ${wish.what} is crash-consistent.` };
  throw new HoldfastError(
    'FREEZE_FAILED',
    `Not quiesced: ${reason}. Look at the guest's agent, or ask for quiesce "try".`,
    { vmId: vmUuid },
    { cause },
  );
}

/** Undefined when the guest is frozen. */
async function freezeNow(
  ports: CommandPorts,
  { header, freezeBudgetMs }: MomentWish,
): Promise<{ readonly reason: string; readonly cause?: HoldfastError } | undefined> {
  try {
    if ((await ports.hypervisor.freeze(header.vmUuid, freezeBudgetMs)) > 0) return undefined;
    return { reason: "the guest's agent found no file system that it could freeze" };
  } catch (thrown) {
    const cause = HoldfastError.from(thrown);
    return { reason: `the guest could not be frozen within ${freezeBudgetMs} ms (${cause.message})`, cause };
  }
}

/** A guest that leaves its host while it is frozen is thawed where it is then, by the clean-up that follows a failure. */
async function demandHere(ports: CommandPorts, wish: MomentWish): Promise<void> {
  const { vmUuid, vmName } = wish.header;
  if ((await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid))) !== undefined) return;
  throw new HoldfastError(
    'NOT_FOUND',
    `VM ${vmName} left ${ports.hostname} while its guest was frozen; it is thawed where it is now. Take the ${wish.what} again.`,
    { vmId: vmUuid },
  );
}

/** Undefined: the guest's agent does not answer in time. */
async function freezeStatus(ports: CommandPorts, vmUuid: string): Promise<'frozen' | 'thawed' | undefined> {
  try {
    return await withHypervisor(ports, () => ports.hypervisor.freezeStatus(vmUuid, CALL_MS));
  } catch {
    return undefined;
  }
}

type SnapshotSight = 'none' | 'all' | 'mixed';

/** Ends well when libvirt says so, or QEMU writes to the new layers: whether all is as it must be, the look tells. */
async function snapshot(ports: CommandPorts, wish: MomentWish, context: StepContext, repeated: boolean): Promise<void> {
  if (repeated) {
    const domain = await observeAgain(ports, wish, context);
    if (sight(wish, domain) === 'all') return;
    await removeLeftovers(ports, wish, context, domain);
  }
  try {
    await ports.hypervisor.snapshotDisks(wish.header.vmUuid, wish.disks);
  } catch (thrown) {
    // Unknown, not failed: what counts is which files QEMU writes to now. libvirt goes on when its caller dies, and the look waits for
    // it: until a snapshot is done, libvirt tells neither the definition of a stopped VM nor what the QEMU of a running one has open.
    const domain = await observeAgain(ports, wish, context);
    if (sight(wish, domain) !== 'all') throw await explainSnapshotRefusal(ports, wish.what, domain, thrown);
    context.warn('The snapshot call failed, and yet the snapshot is there.');
  }
}

async function look(ports: CommandPorts, wish: MomentWish, context: StepContext): Promise<NewLayers> {
  const domain = await observeAgain(ports, wish, context);
  if (sight(wish, domain) !== 'all') {
    throw new HoldfastError('CHAIN_UNEXPLAINED', `After the snapshot VM ${domain.name} does not use all the new layers.`, {
      vmId: domain.uuid,
    });
  }
  refuseDrift(wish, domain);
  await demandSavedWith(ports, domain, wish.disks);
  const inodeOf = (disk: MomentWish['disks'][number]) =>
    diskOf(domain, disk.target).layers.find((layer) => layer.path === disk.newPath)?.inode;
  const deltaInodes = Object.fromEntries(wish.disks.map((disk) => [disk.target, String(inodeOf(disk))]));
  return { deltaInodes };
}

/** libvirt does not write a disk whose persistent definition it could not match; the next start would use the old layer. */
function refuseDrift(wish: MomentWish, domain: ObservedDomain): void {
  if (!domain.persistent) return;
  // Somebody may have put a layer of theirs on ours since.
  const drifted = wish.disks.filter(({ target }) => {
    const { definedPath, layers } = diskOf(domain, target);
    return definedPath !== layers[0]?.path;
  });
  if (drifted.length === 0) return;
  throw new HoldfastError(
    'DEFINITION_DRIFT',
    `After the snapshot the persistent definition of VM ${domain.name} still names another file for ${drifted.map((disk) => disk.target).join(', ')}.`,
    { vmId: domain.uuid },
  );
}

async function observeAgain(ports: CommandPorts, wish: MomentWish, context: StepContext): Promise<ObservedDomain> {
  const domain = await observeSettled(ports, wish.header.vmUuid, context.log);
  if (domain === undefined)
    throw new HoldfastError('NOT_FOUND', `VM ${wish.header.vmName} is gone.`, { vmId: wish.header.vmUuid });
  return domain;
}

function sight(wish: MomentWish, domain: ObservedDomain): SnapshotSight {
  const switched = wish.disks.filter((disk) => chainPaths(diskOf(domain, disk.target)).includes(disk.newPath));
  if (switched.length === wish.disks.length) return 'all';
  return switched.length === 0 ? 'none' : 'mixed';
}

/** Overlays of a snapshot that did not happen: not in the chain, so nothing was ever written through them. */
async function removeLeftovers(
  ports: CommandPorts,
  wish: MomentWish,
  context: StepContext,
  domain: ObservedDomain,
): Promise<void> {
  for (const disk of wish.disks) {
    if (chainPaths(diskOf(domain, disk.target)).includes(disk.newPath)) continue;
    await discardDelta(ports, context, wish.header.vmUuid, disk.newPath, []);
  }
}
