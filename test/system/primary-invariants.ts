/**
 * What must hold on primary storage and in libvirt at rest: I3 deltas, stray files, I5 whole chains, I9 snapshots; live
 * definition == persistent definition == what QEMU has open; the guest neither paused nor frozen. Returns violations in
 * words; changes nothing.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { SupersededFile, Vm, Volume } from '@holdfast/shared/api/inventory.js';
import type { TestVm } from '../testbed/test-vm.js';
import type { InvariantScope } from './invariants.js';
import { readLayerTree, snapshotViolations, type LayerTree } from './snapshot-invariants.js';
import type { SystemStack } from './system-stack.js';

const delta = /\.hf\.qcow2$/;
/** Files that only the product makes. */
const ours = /(\.h[fsr]\.qcow2|\.restored\.qcow2|\.partial)$/;

export async function primaryViolations({
  stack,
  vms,
  references,
  untracked,
  keptFiles = new Set(),
}: InvariantScope): Promise<string[]> {
  const found: string[] = [];
  const referred = new Set<string>(keptFiles);
  for (const vm of vms) {
    const say = (what: string): unknown => found.push(`VM ${vm.name}: ${what}`);
    const seen = await stack.vm(vm);
    if (seen.protectionState !== 'Ok')
      say(`the manager calls it ${seen.protectionState}: ${seen.protectionReason?.message ?? ''}`);
    const chains = await activeChains(vm, say);
    const tree = await readLayerTree(stack, vm, [...chains.values()]);
    tree.layers.forEach((path) => referred.add(path));
    (await snapshotViolations(tree, references)).forEach(say);
    await chainViolations({ stack, seen, chains, tree, untracked, volumes: await stack.volumes(vm) }, say);
    await definitionViolations(vm, say);
    const { items } = await stack.api.get<{ items: SupersededFile[] }>(`/vms/${vm.uuid}/superseded-files`);
    items.forEach((file) => referred.add(file.path));
  }
  const folders = new Set([...vms.map((vm) => vm.dir), ...stack.hosts.map(({ agent }) => agent.primaryPool)]);
  for (const folder of folders) {
    for (const path of await filesBelow(folder)) {
      if (ours.test(path) && !referred.has(path)) found.push(`I3: ${path} is in no chain and in no list of superseded files`);
    }
  }
  return [...new Set(found)];
}

/** Target → layers from the active one down. */
async function activeChains(vm: TestVm, say: (what: string) => unknown): Promise<Map<string, string[]>> {
  const chains = new Map<string, string[]>();
  for (const target of Object.keys(await vm.diskPaths())) {
    try {
      chains.set(
        target,
        (await vm.chain(target)).map(({ filename }) => filename),
      );
    } catch (error) {
      say(`I5: the chain of ${target} cannot be read: ${String(error)}`);
    }
  }
  return chains;
}

interface SeenChains {
  readonly stack: SystemStack;
  readonly seen: Vm;
  readonly chains: ReadonlyMap<string, readonly string[]>;
  readonly tree: LayerTree;
  readonly untracked: ReadonlySet<string> | undefined;
  readonly volumes: readonly Volume[];
}

async function chainViolations(
  { stack, seen, chains, tree, untracked, volumes }: SeenChains,
  say: (what: string) => unknown,
): Promise<void> {
  const head = seen.headBackupId === undefined ? undefined : await stack.api.get<Backup>(`/backups/${seen.headBackupId}`);
  for (const [target, layers] of chains) {
    const deltas = layers.filter((path) => delta.test(path));
    const volume = volumes.find((one) => one.target === target && one.attached);
    const inHead = head?.volumes.some(({ key }) => key === volume?.id) === true;
    const tracked = inHead && untracked?.has(target) !== true;
    // The newest is the head's; one that a snapshot keeps from being merged may lie below it.
    for (const [index, path] of deltas.entries()) {
      if (index === 0 && tracked) continue;
      if (tree.whyKept(path) === undefined) say(`I3: ${target} carries ${path} that nothing needs: ${layers.join(' -> ')}`);
    }
    if (deltas.length === 0 && tracked)
      say(`I3: ${target} has no backup delta although ${head?.name ?? ''} is the head of an open chain`);
  }
}

async function definitionViolations(vm: TestVm, say: (what: string) => unknown): Promise<void> {
  const sources = await vm.diskPaths();
  const state = await vm.domstate();
  if (state !== 'running' && state !== 'shut off') say(`its guest is ${state}`);
  if (state !== 'running') return;
  const open = new Set(await openedFiles(vm));
  for (const [target, { live, inactive }] of Object.entries(sources)) {
    if (live !== inactive) say(`${target}: the live definition names ${live ?? 'nothing'}, the persistent one ${inactive}`);
    if (live !== undefined && !open.has(live)) say(`${target}: QEMU writes to ${[...open].join(', ')}, libvirt says ${live}`);
  }
  if (vm.hasAgent && (await vm.fsfreezeStatus()) !== 'thawed') say('its file systems are frozen');
}

interface BlockInfo {
  inserted?: { image: { filename: string } };
}

async function openedFiles(vm: TestVm): Promise<string[]> {
  const blocks = await vm.qmp<BlockInfo[]>('query-block');
  return blocks.flatMap(({ inserted }) => {
    if (inserted === undefined) return [];
    const name = inserted.image.filename;
    if (!name.startsWith('json:')) return [name];
    const { file } = JSON.parse(name.slice('json:'.length)) as { file?: { filename?: string } };
    return [file?.filename ?? name];
  });
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
