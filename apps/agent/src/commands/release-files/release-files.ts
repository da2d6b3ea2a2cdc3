/**
 * ReleaseFiles: deletes files that a restore left behind. Owns the proof before each deletion: no domain of this host has
 * the file in a chain or a definition, no snapshot of libvirt leads to it, and nobody holds its lock. A file that is gone already counts as released.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { ReleaseFilesRequest, ReleaseFilesResult } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { demandUnused } from '../shared/demand-unused.js';
import { observeSettled } from '../shared/observe-settled.js';

export function releaseFilesCommand(ports: CommandPorts): Command<ReleaseFilesRequest, ReleaseFilesResult> {
  return {
    kind: 'ReleaseFiles',
    codec: bigintJson<ReleaseFilesRequest>(),
    resultCodec: bigintJson<ReleaseFilesResult>(),
    relieve: async () => {},
    run: (request, context) => run(ports, request, context),
    // Files that are deleted are deleted; those that are not stay listed.
    undo: async () => ({ vmOutcome: 'AsBefore' }),
  };
}

async function run(
  ports: CommandPorts,
  request: ReleaseFilesRequest,
  context: StepContext,
): Promise<Outcome<ReleaseFilesResult>> {
  const { vmUuid } = request.header;
  let releasedBytes = 0n;
  // Overlays before what they lie on: a chain is listed from its active layer down.
  for (const path of request.paths) {
    const bytes = await context.step('release', path, { path }, async () => {
      const facts = await ports.files.stat(path);
      if (facts === undefined) return '0';
      const domain = await observeSettled(ports, vmUuid, context.log);
      await demandUnused(ports, vmUuid, domain, path, []);
      // A lock that cannot be asked is none that is free: for a VM on another host it is all that protects the file.
      if (await ports.images.isLocked(path, 'raw'))
        throw new HoldfastError('IMAGE_LOCKED', `${path} is open in a running process, so it stays.`, { path });
      await ports.files.remove(path);
      return String(facts.allocatedBytes);
    });
    releasedBytes += BigInt(bytes);
  }
  return { result: { releasedBytes }, vmOutcome: 'AsAfter' };
}
