/** Surveys and removals of strays, from wire messages to our own types. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type * as wire from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';
import type { RemovedStray, SurveyedEntry, SurveyedLayer } from './agent-types.js';

export function toSurveyedEntry(wire: wire.SurveyedEntry): SurveyedEntry {
  const { path, directory, sizeBytes, allocatedBytes, manifest, backingName, disks, problem } = wire;
  return { path, directory, sizeBytes, allocatedBytes, manifest, backingName, disks, problem };
}

export function toSurveyedLayer({ path, inode, sizeBytes, allocatedBytes }: wire.SurveyedLayer): SurveyedLayer {
  return { path, inode, sizeBytes, allocatedBytes };
}

export function toRemovedStray({ path, freedBytes, keptCode, keptBecause }: wire.RemovedStray): RemovedStray {
  const kept =
    keptCode === '' ? null : HoldfastError.fromData({ code: keptCode, message: keptBecause, fields: { path } }).toData();
  return { path, freedBytes, kept };
}
