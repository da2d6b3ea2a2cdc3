/**
 * Layers of ours beside those that are known of a volume, by names and headers: those of records that were lost, because the
 * manager's database was set back. Owns the search. Such a layer may hold a VM snapshot: it stays, and shows what it showed.
 */
import { basename, dirname, join } from 'node:path';
import { hasLayerName } from '@holdfast/shared/chain/layer-names.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';

/** In the folders of the known layers: files that have the name of a layer of the same volume, and are not among the known. */
export async function layersByName(ports: Pick<CommandPorts, 'files'>, known: ReadonlySet<string>): Promise<string[]> {
  const stems = new Set([...known].filter(hasLayerName).map(stemOf));
  if (stems.size === 0) return [];
  const folders = [...new Set([...known].map((path) => dirname(path)))];
  const names = await Promise.all(
    folders.map(async (folder) => ((await ports.files.list(folder)) ?? []).map((name) => join(folder, name))),
  );
  return names.flat().filter((path) => hasLayerName(path) && !known.has(path) && stems.has(stemOf(path)));
}

/** FILE_IN_USE when a layer lies on `path` that is not among those known beside it. */
export async function demandNothingOn(ports: CommandPorts, path: string, known: Iterable<string>): Promise<void> {
  const others = await layersByName(ports, new Set([path, ...known]));
  const below = await Promise.all(others.map(async (other) => ({ other, backing: await backingOf(ports, other) })));
  const places = await ports.images.places([path, ...below.flatMap(({ backing }) => backing ?? [])]);
  const identity = places.get(path)?.identity ?? path;
  const on = below.find(({ backing }) => backing !== undefined && (places.get(backing)?.identity ?? backing) === identity);
  if (on === undefined) return;
  throw new HoldfastError('FILE_IN_USE', `${path} is not deleted: ${on.other}, which no record names, lies on it.`, {
    path,
    layer: on.other,
  });
}

async function backingOf(ports: CommandPorts, path: string): Promise<string | undefined> {
  try {
    return (await ports.images.info(path, 'qcow2')).backingPath;
  } catch (thrown) {
    if (await isNoLayer(ports, path)) return undefined;
    throw thrown;
  }
}

/** Gone meanwhile, or never written: a host that lost its power leaves new files empty. */
export async function isNoLayer(ports: Pick<CommandPorts, 'files'>, path: string): Promise<boolean> {
  const facts = await ports.files.stat(path);
  return facts === undefined || facts.sizeBytes === 0n;
}

/** What the names of a volume's layers begin with, but for the target that is put in where two volumes would have had one name. */
function stemOf(path: string): string {
  return (basename(path).split('.', 1)[0] ?? '').replace(/-[hsv]d[a-z]{1,3}$/, '');
}
