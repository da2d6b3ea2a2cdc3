/** Names of the files that Holdfast makes on primary storage. Pure; every such name is made here. */
import { posix } from 'node:path';
import { hasLayerName } from '@holdfast/shared/chain/layer-names.js';

const STEM_LENGTH = 20;
const LAYER_END = /\.[0-9a-f-]+\.h[fsr]\.qcow2$/;

/** `<folder of the active layer>/<stem>.<backup id>.hf.qcow2`; a name that `taken` holds already gets the target into it. */
export function deltaPath(activePath: string, basePath: string, target: string, backupId: string, taken: Set<string>): string {
  return unique(posix.dirname(activePath), stemOf(basePath), target, `${backupId}.hf.qcow2`, taken);
}

/** `<folder>/<stem>.<operation id, first 8>.restored.qcow2`. */
export function restoredPath(basePath: string, target: string, operationId: string, taken: Set<string>): string {
  return unique(posix.dirname(basePath), stemOf(basePath), target, `${operationId.slice(0, 8)}.restored.qcow2`, taken);
}

/** `<folder of the active layer>/<stem>.<snapshot id>.hs.qcow2`: what the VM writes to after a snapshot. */
export function snapshotOverlayPath(
  activePath: string,
  basePath: string,
  target: string,
  snapshotId: string,
  taken: Set<string>,
): string {
  return unique(posix.dirname(activePath), stemOf(basePath), target, `${snapshotId}.hs.qcow2`, taken);
}

/** `<folder of the pinned layer>/<stem>.<operation id, first 8>.hr.qcow2`: what the VM writes to after a revert. */
export function revertOverlayPath(
  pinnedPath: string,
  basePath: string,
  target: string,
  operationId: string,
  taken: Set<string>,
): string {
  return unique(posix.dirname(pinnedPath), stemOf(basePath), target, `${operationId.slice(0, 8)}.hr.qcow2`, taken);
}

/** The volume's own file that a layer of ours lies on, as far as the layer's name tells; any other path as it is. */
export function bottomPath(path: string): string {
  return hasLayerName(path) ? path.replace(LAYER_END, '.qcow2') : path;
}

/** The first characters of a file's name that are safe everywhere; without extension and without what an earlier restore added. */
function stemOf(path: string): string {
  const name = posix.basename(path).replace(/\.[0-9a-f]{8}\.restored\.qcow2$/, '');
  const stem = name.replace(/\.(qcow2|raw|img)$/i, '');
  const safe = stem.replace(/[^A-Za-z0-9_-]+/g, '_').slice(0, STEM_LENGTH);
  return safe === '' ? 'volume' : safe;
}

function unique(folder: string, stem: string, target: string, ending: string, taken: Set<string>): string {
  let path = posix.join(folder, `${stem}.${ending}`);
  if (taken.has(path)) path = posix.join(folder, `${stem}-${target.replace(/[^A-Za-z0-9]+/g, '_')}.${ending}`);
  taken.add(path);
  return path;
}
