/**
 * Files that QEMU holds open and no disk of it uses: libvirt died between making the nodes of an overlay and using them, or
 * a repair took QEMU off an overlay. Owns letting them go, so that the files are no longer locked.
 */
import { isFormatNode, readQemuDisks, type BlockNodes, type QueryBlock } from './qemu-block.js';
import type { Qmp } from './qmp.js';

/** Deletes QEMU's nodes of these files, top nodes first. A file in the chain of a disk stays; QEMU itself refuses what is in use. */
export async function releaseUnusedNodes(qmp: Qmp, paths: readonly string[]): Promise<void> {
  const used = readQemuDisks(await qmp.execute<QueryBlock>('query-block')).flatMap((disk) =>
    disk.layers.map((layer) => layer.path),
  );
  const nodes = await qmp.execute<BlockNodes>('query-named-block-nodes', { flat: true });
  // An overlay's node holds the node of its own file and those of the overlays below it: paths come from the top down.
  const free = [...new Set(paths)].filter((path) => !used.includes(path));
  for (const path of free) {
    const own = nodes.filter((node) => node.file === path);
    for (const node of [...own.filter(isFormatNode), ...own.filter((one) => !isFormatNode(one))]) {
      if (node['node-name'] !== undefined) await qmp.execute('blockdev-del', { 'node-name': node['node-name'] });
    }
  }
}
