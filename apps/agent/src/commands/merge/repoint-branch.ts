/**
 * Pointing a layer beside the active chain at another backing file, after the content of its old one was committed there.
 * Owns the order: header under the image lock → looked at → fsync. The old backing file is not needed by it from then on.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { MergeVolume } from '../requests.js';
import { observeExisting } from '../shared/observe-settled.js';
import { forgetBackingStore } from './forget-backing-store.js';
import { observeTree } from './observe-tree.js';

/** Repoints `child` from one layer to the other; done already is fine. CHAIN_UNEXPLAINED when it is backed by a third. */
export async function repointBranch(
  ports: CommandPorts,
  context: StepContext,
  vmUuid: string,
  volume: MergeVolume,
  { child, from, to, target }: { child: string; from: string; to: string; target: string },
): Promise<null> {
  const backing = async (): Promise<{ backing: string | undefined; format: 'qcow2' | 'raw' | undefined }> => {
    const domain = await observeExisting(ports, vmUuid, context.log);
    if (domain.persistent) await forgetBackingStore(ports, vmUuid, target);
    // The branch is looked at from its own layer down, whether or not a snapshot leads to it.
    const { tree, formats } = await observeTree(ports, domain, { ...volume, pins: [], deltaPaths: [to, from, child] });
    return { backing: tree.parents.get(child), format: formats.get(to) };
  };
  const before = await backing();
  if (before.backing !== to) {
    if (before.backing !== from || before.format === undefined) throw lost(vmUuid, target, child, from, before.backing);
    await ports.images.repoint(child, { name: to, format: before.format });
    const after = await backing();
    if (after.backing !== to) throw lost(vmUuid, target, child, to, after.backing);
  }
  await ports.files.sync(child);
  return null;
}

function lost(vmId: string, target: string, child: string, expected: string, found: string | undefined): HoldfastError {
  return new HoldfastError(
    'CHAIN_UNEXPLAINED',
    `${child}, a layer of disk ${target}, is backed by ${found ?? 'nothing'}; expected ${expected}. It was left so.`,
    { vmId, target, path: child },
  );
}
