/**
 * What must hold on primary storage and in libvirt at rest: I3 deltas, stray files, I5 whole chains; live definition ==
 * persistent definition == what QEMU has open; the guest neither paused nor frozen. Returns violations in words; changes nothing.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { SupersededFile, Vm } from '@holdfast/shared/api/inventory.js';
import type { TestVm } from '../testbed/test-vm.js';
import type { SystemStack } from './system-stack.js';

const delta = /\.hf\.qcow2$/;
/** Files that only the product makes. */
const ours = /(\.hf\.qcow2|\.restored\.qcow2|\.partial)$/;

export async function primaryViolations(
  stack: SystemStack,
  vms: readonly TestVm[],
  keptFiles: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const found: string[] = [];
  const referred = new Set<string>(keptFiles);
  for (const vm of vms) {
    const say = (what: string): unknown => found.push(`VM ${vm.name}: ${what}`);
    const seen = await stack.vm(vm);
    if (seen.protectionState !== 'Ok')
      say(`the manager calls it ${seen.protectionState}: ${seen.protectionReason?.message ?? ''}`);
    const chains = await chainViolations(stack, vm, seen, say);
    chains.forEach((path) => referred.add(path));
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

/** Returns every layer of every disk. */
async function chainViolations(stack: SystemStack, vm: TestVm, seen: Vm, say: (what: string) => unknown): Promise<string[]> {
  const all: string[] = [];
  const head = seen.headBackupId === undefined ? undefined : await stack.api.get<Backup>(`/backups/${seen.headBackupId}`);
  const volumes = await stack.volumes(vm);
  for (const target of Object.keys(await vm.diskPaths())) {
    let layers: string[];
    try {
      layers = (await vm.chain(target)).map(({ filename }) => filename);
    } catch (error) {
      say(`I5: the chain of ${target} cannot be read: ${String(error)}`);
      continue;
    }
    all.push(...layers);
    const deltas = layers.filter((path) => delta.test(path));
    const volume = volumes.find((one) => one.target === target && one.attached);
    const tracked = head?.volumes.some(({ key }) => key === volume?.id) === true;
    if (deltas.length > 1) say(`I3: ${target} carries ${deltas.length} backup deltas: ${layers.join(' -> ')}`);
    if (deltas.length === 1 && !tracked)
      say(`I3: ${target} carries a backup delta although no open chain needs it: ${layers.join(' -> ')}`);
    if (deltas.length === 0 && tracked)
      say(`I3: ${target} has no backup delta although ${head?.name ?? ''} is the head of an open chain`);
  }
  return all;
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
