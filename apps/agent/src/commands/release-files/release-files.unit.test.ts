import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { silentLog } from '../../logging/silent-log.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { releaseFilesCommand } from './release-files.js';

const PATH = '/pool/old.qcow2';

/** Releases one file that no VM of this host refers to. */
async function release(isLocked: () => Promise<boolean>): Promise<{ removed: string[]; error: HoldfastError | undefined }> {
  const removed: string[] = [];
  const ports = {
    files: { stat: async () => ({ allocatedBytes: 7n }), remove: async (path: string) => void removed.push(path) },
    images: { isLocked, places: async () => new Map([[PATH, { identity: '1:1', realPath: PATH }]]) },
    hypervisor: { observe: async () => undefined, pathsInUseByOthers: async () => new Set<string>() },
    clock: { now: () => 0, sleep: async () => undefined },
  } as unknown as CommandPorts;
  const context = {
    log: silentLog,
    step: (_name: string, _subject: string, intent: unknown, act: (intent: unknown) => unknown) => act(intent),
  } as unknown as StepContext;
  const header = { operationId: 'o', vmUuid: 'v', vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 };
  const error = await releaseFilesCommand(ports)
    .run({ header, paths: [PATH] }, context)
    .then(
      () => undefined,
      (thrown: unknown) => HoldfastError.from(thrown),
    );
  return { removed, error };
}

describe('ReleaseFiles', () => {
  it('removes a file that nobody has open', async () => {
    expect(await release(async () => false)).toEqual({ removed: [PATH], error: undefined });
  });

  it('keeps a file whose lock is held, or cannot be asked', async () => {
    expect(await release(async () => true)).toMatchObject({ removed: [], error: { code: 'IMAGE_LOCKED' } });
    const silent = new HoldfastError('TOOL_FAILED', 'The locks cannot be asked.');
    expect(await release(() => Promise.reject(silent))).toEqual({ removed: [], error: silent });
  });
});
