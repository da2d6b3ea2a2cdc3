/**
 * The one moment of a restore, or of a revert, that changes the VM: one define switches all its volumes to files that are
 * already whole. Owns the look before and after it, and the way back; nothing that the old definition refers to is touched.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PARTIAL_SUFFIX } from '@holdfast/shared/manifest/paths.js';
import type { CommandHeader, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { chainPaths, withHypervisor } from './observe-settled.js';

/** Which disks are switched, and what for. */
export interface SwitchWish {
  readonly header: CommandHeader;
  /** For messages. */
  readonly what: 'restore' | 'revert';
  readonly volumes: readonly { readonly target: string; readonly newPath: string }[];
}

/**
 * Defines `newXml` if the VM is stopped and still as before, and looks at what came of it; until then every start of the VM
 * is refused. A VM that was started all the same keeps its old definition (VM_RUNNING); one that was started right after the
 * define runs on the new disks.
 */
export function switchDefinition(
  ports: CommandPorts,
  wish: SwitchWish,
  context: StepContext,
  xml: { readonly oldXml: string | undefined; readonly newXml: string },
): Promise<void> {
  const doing = wish.what === 'restore' ? 'being restored' : 'being reverted';
  return ports.starts.whileSwitching({ ...wish.header, doing }, () => switchNow(ports, wish, context, xml));
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

/** A domain that is not there has no sources; every other failure stays one. */
export function absentIsEmpty(thrown: unknown): ReadonlyMap<string, string> {
  if (HoldfastError.from(thrown).code === 'NOT_FOUND') return new Map();
  throw thrown;
}

/**
 * Takes a switch back that is not past its point of no return: the old definition, when the new one is there, then the new
 * files go, once nothing refers to them. `oldXml` undefined: no switch was begun, or the VM did not exist before it.
 * FILE_IN_USE when the VM was started on them.
 */
export async function undoSwitch(
  ports: CommandPorts,
  wish: SwitchWish,
  context: StepContext,
  oldXml: string | undefined,
): Promise<void> {
  const { vmUuid, vmName } = wish.header;
  if (oldXml !== undefined) {
    await context.step('undo-switch', '', {}, async () => {
      const sources = await withHypervisor(ports, () => ports.hypervisor.definedSources(vmUuid)).catch(absentIsEmpty);
      const switched = wish.volumes.some((volume) => sources.get(volume.target) === volume.newPath);
      if (switched) await withHypervisor(ports, () => ports.hypervisor.define(oldXml));
      return null;
    });
  }
  const domain = await withHypervisor(ports, () => ports.hypervisor.observe(vmUuid));
  const used = new Set(domain?.disks.flatMap((disk) => [...chainPaths(disk), disk.definedPath ?? '']) ?? []);
  for (const { target, newPath } of wish.volumes) {
    if (used.has(newPath)) {
      throw new HoldfastError('FILE_IN_USE', `${newPath} is used by VM ${vmName}, so the ${wish.what} cannot be taken back.`, {
        path: newPath,
        vmId: vmUuid,
      });
    }
    await context.step('undo-remove', target, { path: newPath }, async ({ path }) => {
      await ports.files.remove(path + PARTIAL_SUFFIX);
      await ports.files.remove(path);
      return null;
    });
  }
}
