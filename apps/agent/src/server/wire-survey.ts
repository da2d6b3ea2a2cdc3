/** Surveys and removals of strays between the wire and our own types; each field that comes in is checked. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type * as wire from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';
import type { StorageSpec } from '../secondary/storage-spec.js';
import type { RemovedStray, StrayLayer, StrayPath } from '../strays/remove-strays.js';
import type { SurveyedEntry, SurveyedLayer } from '../strays/survey.js';
import { storageSpec } from './wire-requests.js';

/** A message stays far below the limit of gRPC (4 MiB), unless one entry alone does not. */
const MESSAGE_CHARACTERS = 500_000;

/** Entries in as many messages as they need. */
export function* entries(found: readonly SurveyedEntry[]): Generator<wire.SurveyStorageResponse> {
  let batch: wire.SurveyedEntry[] = [];
  let characters = 0;
  for (const { path, kind, sizeBytes, allocatedBytes, manifest, backingName, disks, problem } of found) {
    const entry = { path, directory: kind === 'directory', sizeBytes, allocatedBytes, manifest, backingName };
    const then = (disks ?? []).map((disk) => ({ target: disk.target, serial: disk.serial, path: disk.path ?? '' }));
    batch.push({ ...entry, disks: then, problem: problem ?? '' });
    characters += path.length + (manifest?.length ?? 0) + 100;
    if (characters < MESSAGE_CHARACTERS) continue;
    yield { entries: batch };
    batch = [];
    characters = 0;
  }
  if (batch.length > 0) yield { entries: batch };
}

export function primary(found: { layers: readonly SurveyedLayer[]; silentPools: string[] }): wire.SurveyPrimaryResponse {
  return {
    layers: found.layers.map(({ path, inode, sizeBytes, allocatedBytes }) => ({ path, inode, sizeBytes, allocatedBytes })),
    silentPools: found.silentPools,
  };
}

export function removal(request: wire.RemoveStraysRequest): {
  storage: StorageSpec | undefined;
  paths: readonly StrayPath[];
  layers: readonly StrayLayer[];
} {
  const { paths } = request;
  const layers = request.layers.map(({ path, inode }) => ({ path, inode }));
  const bad = layers.find(({ path }) => !/^\/[^\0\n]*$/.test(path));
  if (bad !== undefined)
    throw new HoldfastError('INVALID_INPUT', 'layers.path must be an absolute path without NUL and line ends.', {
      path: bad.path,
    });
  return { storage: paths.length === 0 ? undefined : storageSpec(request.storage), paths, layers };
}

export function removed({ path, freedBytes, kept }: RemovedStray): wire.RemovedStray {
  return { path, freedBytes, keptCode: kept?.code ?? '', keptBecause: kept?.message ?? '' };
}
