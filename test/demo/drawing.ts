/**
 * Draws what really is on primary and secondary storage: read with qemu-img from the files, not asked of the product.
 * `←` backs, `*` is what the VM writes to, `■` ends a chain.
 */
import { readFile, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { manifestSchema, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import { formatBytes } from '@holdfast/shared/units/bytes.js';
import type { TestVm } from '../testbed/test-vm.js';

/** `vda  vda.qcow2 ← delta of b2*`, a line per disk. `names`: backup id → name. */
export async function drawPrimary(vm: TestVm, names: ReadonlyMap<string, string>): Promise<string[]> {
  const lines: string[] = [];
  for (const target of Object.keys(await vm.diskPaths())) {
    const layers = (await vm.chain(target)).reverse();
    const drawn = layers.map(({ filename }, index) => {
      const backupId = /\.([0-9a-f-]{36})\.hf\.qcow2$/.exec(filename)?.[1];
      const name = backupId === undefined ? basename(filename) : `[delta since ${names.get(backupId) ?? backupId}]`;
      return index === layers.length - 1 ? `${name}*` : name;
    });
    lines.push(`${target}  ${drawn.join(' ← ')}`);
  }
  return lines;
}

/** `b1 (full, 40 MiB) ← b2 (1.2 MiB)`, a line per chain, from the manifests on storage. */
export async function drawSecondary(root: string, vmId: string): Promise<string[]> {
  const folder = join(root, 'backups', vmId);
  const manifests = await Promise.all(
    (await readdir(folder)).map(async (id) =>
      manifestSchema.parse(JSON.parse(await readFile(join(folder, id, 'manifest.json'), 'utf8'))),
    ),
  );
  manifests.sort((a, b) => a.publishedAt.localeCompare(b.publishedAt));
  return manifests.filter(({ parentBackupId }) => parentBackupId === undefined).map((first) => chainFrom(first, manifests));
}

function chainFrom(first: Manifest, all: readonly Manifest[]): string {
  const chain: Manifest[] = [];
  for (let next: Manifest | undefined = first; next !== undefined;) {
    chain.push(next);
    const { backupId }: Manifest = next;
    next = all.find(({ parentBackupId }) => parentBackupId === backupId);
  }
  const drawn = chain.map((manifest) => {
    const bytes = manifest.volumes.reduce((sum, { sizeBytes }) => sum + BigInt(sizeBytes), 0n);
    const marks = [manifest.type === 'FULL' ? 'full' : '', manifest.quiesced ? 'quiesced' : '', formatBytes(bytes)].filter(
      (mark) => mark !== '',
    );
    return `${manifest.backupName} (${marks.join(', ')})`;
  });
  const last = chain.at(-1);
  const end = last?.isolated === true ? '  isolated' : last?.endOfChain === true ? ' ■' : ' …';
  return drawn.join(' ← ') + end;
}
