/**
 * Every file that the domains of a host refer to: what must not be deleted. Owns the walk through definitions and headers.
 * Errs on the side of "in use": when an image of a domain exists and cannot be read, that is an error, not an empty answer.
 */
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageTool } from '../images/image-tool.js';
import type { FileLooks } from '../looks/file-looks.js';
import { shares } from '../looks/shares.js';
import type { Known } from './observe.js';

/**
 * All paths of the given domains: named anywhere in their live or persistent definitions, open in QEMU, held by a snapshot
 * that libvirt keeps record of, or named by the header of an image below one of those. Each as it is written and with
 * symbolic links resolved.
 */
export async function filesInUse(
  ports: { looks: FileLooks; images: ImageTool },
  domains: readonly Known[],
): Promise<Set<string>> {
  const named = new Set<string>();
  const images = new Map<string, ImageFormat>();
  for (const { current, persistent, qemu, snapshots } of domains) {
    for (const definition of persistent === undefined ? [current] : [current, persistent]) {
      for (const path of definition.files) named.add(path);
      for (const { path, format } of definition.disks) {
        if (path !== undefined && (format === 'qcow2' || format === 'raw')) images.set(path, format);
      }
    }
    for (const { pinnedPath, pinnedFormat, overlayPath } of snapshots.flatMap((snapshot) => snapshot.disks)) {
      named.add(pinnedPath);
      images.set(pinnedPath, pinnedFormat);
      if (overlayPath !== '') named.add(overlayPath);
    }
    for (const layer of (qemu ?? []).flatMap((disk) => disk.layers)) {
      if (layer.path === undefined) continue;
      named.add(layer.path);
      if (layer.format === 'qcow2') images.set(layer.path, 'qcow2');
    }
  }
  const seen = new Set<string>();
  const queue = [...images].filter(([, format]) => format === 'qcow2').map(([path]) => path);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const below = await backingOf(ports.images, path);
    if (below === undefined) continue;
    named.add(below.path);
    if (below.format !== 'raw') queue.push(below.path);
  }
  const absolute = [...named].filter((path) => path.startsWith('/'));
  for (const share of shares(absolute)) for (const real of await ports.looks.realPaths(share)) named.add(real);
  return named;
}

async function backingOf(
  images: ImageTool,
  path: string,
): Promise<{ path: string; format: ImageFormat | undefined } | undefined> {
  try {
    const info = await images.info(path, 'qcow2');
    return info.backingPath === undefined ? undefined : { path: info.backingPath, format: info.backingFormat };
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    // A file that is absent has nothing below it.
    if (error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
