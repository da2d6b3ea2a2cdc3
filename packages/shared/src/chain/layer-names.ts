/**
 * How the files that Holdfast makes on primary storage are named, for those who must know one without any record: the guard
 * of VM starts, and the search for files that nobody knows. A name never decides that something is deleted; a delta in a VM's own
 * chain is merged by it at the end of the chain alone, when no record names it (decision 0056).
 */

/** Backup deltas `….<backup id>.hf.qcow2`, overlays of snapshots `….<snapshot id>.hs.qcow2` and of reverts `….<8 digits>.hr.qcow2`. */
const LAYER_NAME = /\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.h[fs]|[0-9a-f]{8}\.hr)\.qcow2$/;

/** A restored volume `….<8 digits>.restored.qcow2`; what a restore or a revert was writing when it was stopped. */
const RESTORED_NAME = /\.[0-9a-f]{8}\.restored\.qcow2$/;
const PARTIAL_NAME = /\.[0-9a-f]{8}\.(?:restored|hr)\.qcow2\.partial$/;

/** Globs (find -name) that fit every name that {@link primaryFileKind} knows, and some more. */
export const PRIMARY_FILE_GLOBS = ['*.h[fsr].qcow2', '*.restored.qcow2', '*.restored.qcow2.partial', '*.hr.qcow2.partial'];

/** What a file on primary storage is by its name; undefined: no name that Holdfast gives. */
export function primaryFileKind(path: string): 'layer' | 'restored' | 'partial' | undefined {
  if (hasLayerName(path)) return 'layer';
  if (RESTORED_NAME.test(path)) return 'restored';
  return PARTIAL_NAME.test(path) ? 'partial' : undefined;
}

/** True for a path whose name is one that Holdfast gives to a layer (not to a restored volume, which is a disk like any other). */
export function hasLayerName(path: string): boolean {
  return LAYER_NAME.test(path);
}

/** True for a layer whose name is that of a backup's delta. */
export function hasDeltaName(path: string): boolean {
  return hasLayerName(path) && path.endsWith('.hf.qcow2');
}
