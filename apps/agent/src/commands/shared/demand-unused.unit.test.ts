import { describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import type { CommandPorts } from '../ports.js';
import { demandUnused } from './demand-unused.js';

const FILE = '/pool/file';

/** A stopped VM on one layer. `identities`: of the files that are there. */
function demand(active: string, identities: Record<string, string>, others: string[] = []): Promise<void> {
  const layers = [{ path: active, format: 'qcow2' }];
  const domain = { name: 'vm', state: 'shut-off', disks: [{ target: 'vda', layers, definedPath: undefined }], snapshots: [] };
  const place = (identity: string) => ({ identity, realPath: `/real${identity}` });
  const ports = {
    images: { places: async () => new Map(Object.entries(identities).map(([path, identity]) => [path, place(identity)])) },
    hypervisor: { hasSavedState: async () => false, pathsInUseByOthers: async () => new Set(others) },
    clock: { now: () => 0 },
  } as unknown as CommandPorts;
  return demandUnused(ports, 'v', domain as unknown as ObservedDomain, FILE, []);
}

describe('demandUnused', () => {
  const inUse = { code: 'FILE_IN_USE' };

  it('lets a file go that nothing names', async () => {
    await demand('/pool/active', { [FILE]: '/1', '/pool/active': '/2' });
    await demand('/pool/active', {});
  });

  it('refuses a file that the VM has in a chain, under this name or another', async () => {
    await expect(demand(FILE, {})).rejects.toMatchObject(inUse);
    await expect(demand('/pool/link', { [FILE]: '/1', '/pool/link': '/1' })).rejects.toMatchObject(inUse);
  });

  it('refuses a file that another VM uses, under this name or its real one', async () => {
    await expect(demand('/pool/active', {}, [FILE])).rejects.toMatchObject(inUse);
    await expect(demand('/pool/active', { [FILE]: '/1' }, ['/real/1'])).rejects.toMatchObject(inUse);
  });
});
