/**
 * The one moment of a restore, or of a revert, that changes the VM: one define switches all its volumes to files that are
 * already whole. Owns the look before and after it, and the way back; nothing that the old definition refers to is touched.
 */
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { CommandHeader, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { demandNoSavedState } from './saved-state.js';
import { demandUnchangedDisks, type PlannedDisk } from './demand-unchanged-disks.js';
import { chainPaths, withHypervisor } from './observe-settled.js';

/** Which disks are switched, and what for. */
export interface SwitchWish {
  readonly header: CommandHeader;
  /** For messages. */
  readonly what: 'restore' | 'revert';
  readonly volumes: readonly (PlannedDisk & { readonly newPath: string })[];
}

const doing = ({ what }: SwitchWish): string => (what === 'restore' ? 'being restored' : 'being reverted');

/**
 * Defines `newXml` if the VM is stopped, not saved with its memory, and its disks and definition are still what the switch was
 * made from (PLAN_OUTDATED otherwise: what an owner or another tool changed meanwhile is not ours to undo), and looks at what came of it; until then every start of the VM
 * is refused. A VM that was started all the same keeps its old definition (VM_RUNNING); one that was started right after the
 * define runs on the new disks.
 */
export function switchDefinition(
  ports: CommandPorts,
  wish: SwitchWish,
  context: StepContext,
  xml: { readonly oldXml: string | undefined; readonly newXml: string },
): Promise<void> {
  return ports.starts.whileSwitching({ ...wish.header, doing: doing(wish) }, () => switchNow(ports, wish, context, xml));
}

async function switchNow(
  ports: CommandPorts,
  wish: SwitchWish,
  context: StepContext,
  xml: { readonly oldXml: string | undefined; readonly newXml: string },
): Promise<void> {
  const { vmUuid, vmName } = wish.header;
  const wanted = new Map(wish.volumes.map((volume) => [volume.target, volume.newPath]));
  const isSwitched = async (): Promise<boolean> => {
    const now = await withHypervisor(ports, () => ports.hypervisor.definedSources(vmUuid)).catch(absentIsEmpty);
    return [...wanted].every(([target, path]) => now.get(target) === path);
  };
  if (!(await isSwitched())) {
    const before = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
    if (before !== undefined && before.state !== 'shut-off') {
      throw new HoldfastError(
        'VM_RUNNING',
        `VM ${vmName} was started while its ${wish.what} was being prepared. It is unchanged; stop it and ${wish.what} again.`,
        { vmId: vmUuid },
      );
    }
    await demandUntouched(ports, wish, before, xml.oldXml);
    await withHypervisor(ports, () => ports.hypervisor.define(xml.newXml));
    if (!(await isSwitched())) {
      throw new HoldfastError('TOOL_FAILED', `libvirt took the new definition of VM ${vmName}, but does not show it.`, {
        vmId: vmUuid,
      });
    }
  }
  const after = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
  if (after === undefined || after.state === 'shut-off') return;
  const onNew = [...wanted].every(([target, path]) =>
    after.disks.find((disk) => disk.target === target)?.layers.some((layer) => layer.path === path),
  );
  if (onNew) {
    context.warn(`The VM was started the moment its definition was switched; it runs on the disks of the ${wish.what}.`);
    return;
  }
  if (xml.oldXml !== undefined) await withHypervisor(ports, () => ports.hypervisor.define(xml.oldXml ?? ''));
  throw new HoldfastError(
    'VM_RUNNING',
    `VM ${vmName} was started while its definition was being switched. It keeps its old disks; stop it and ${wish.what} again.`,
    {
      vmId: vmUuid,
    },
  );
}

/** The stopped VM as it is, right before it is switched, against what the switch was made from. */
async function demandUntouched(
  ports: CommandPorts,
  { header, what, volumes }: SwitchWish,
  domain: ObservedDomain | undefined,
  oldXml: string | undefined,
): Promise<void> {
  const { vmUuid, vmName } = header;
  if (domain !== undefined) {
    await demandNoSavedState(ports, domain);
    if (oldXml !== undefined) demandUnchangedDisks(domain, volumes);
  }
  const now =
    domain === undefined ? undefined : await withHypervisor(ports, () => ports.hypervisor.domainXml(vmUuid, 'persistent'));
  if (now === oldXml) return;
  throw new HoldfastError(
    'PLAN_OUTDATED',
    `The definition of VM ${vmName} was changed while its ${what} was being prepared. It stays as it is now; ${what} again.`,
    { vmId: vmUuid },
  );
}

/** A domain that is not there has no sources; every other failure stays one. */
export function absentIsEmpty(thrown: unknown): ReadonlyMap<string, string> {
  if (HoldfastError.from(thrown).code === 'NOT_FOUND') return new Map();
  throw thrown;
}

/**
 * Takes a switch back that is not past its point of no return, while no start of the VM is possible: the old definition, when
 * the new one is there, then the new files go, once nothing refers to them. `oldXml` undefined: no switch was begun, or the VM
 * did not exist before it. FILE_IN_USE, with nothing touched, when the VM was started on them.
 */
export function undoSwitch(
  ports: CommandPorts,
  wish: SwitchWish,
  context: StepContext,
  oldXml: string | undefined,
): Promise<void> {
  return ports.starts.whileSwitching({ ...wish.header, doing: doing(wish) }, () => undoNow(ports, wish, context, oldXml));
}

async function undoNow(ports: CommandPorts, wish: SwitchWish, context: StepContext, oldXml: string | undefined): Promise<void> {
  const { vmUuid } = wish.header;
  await demandUnused(ports, wish, 'running');
  if (oldXml !== undefined) {
    await context.step('undo-switch', '', {}, async () => {
      const sources = await withHypervisor(ports, () => ports.hypervisor.definedSources(vmUuid)).catch(absentIsEmpty);
      const switched = wish.volumes.some((volume) => sources.get(volume.target) === volume.newPath);
      if (switched) await withHypervisor(ports, () => ports.hypervisor.define(oldXml));
      return null;
    });
  }
  await demandUnused(ports, wish, 'defined');
  for (const { target, newPath } of wish.volumes) {
    await context.step('undo-remove', target, { path: newPath }, async ({ path }) => {
      await ports.files.remove(path + PARTIAL_SUFFIX);
      if ((await ports.files.stat(path)) === undefined) return null;
      // On whatever host: as raw bytes, because a file that a tool died over need not be an image.
      if (await ports.images.isLocked(path, 'raw')) throw inUse(wish, path);
      await ports.files.remove(path);
      return null;
    });
  }
}

/** FILE_IN_USE when the VM runs on a new file or, asked for `defined`, refers to one in any way. */
async function demandUnused(ports: CommandPorts, wish: SwitchWish, how: 'running' | 'defined'): Promise<void> {
  const domain = await withHypervisor(ports, () => ports.hypervisor.observe(wish.header.vmUuid));
  if (domain === undefined || (how === 'running' && domain.state === 'shut-off')) return;
  const used = new Set(domain.disks.flatMap((disk) => [...chainPaths(disk), how === 'defined' ? (disk.definedPath ?? '') : '']));
  const found = wish.volumes.find(({ newPath }) => used.has(newPath));
  if (found !== undefined) throw inUse(wish, found.newPath);
}

function inUse({ header, what }: SwitchWish, path: string): HoldfastError {
  return new HoldfastError('FILE_IN_USE', `${path} is used by VM ${header.vmName}, so the ${what} cannot be taken back.`, {
    path,
    vmId: header.vmUuid,
  });
}
