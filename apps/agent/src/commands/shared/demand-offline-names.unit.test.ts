/** Names that libvirt cannot give to new layers of a VM that is off. */
import { describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { demandOfflineNames } from './demand-offline-names.js';

const demand = (state: ObservedDomain['state'], ...paths: string[]) =>
  demandOfflineNames(
    { uuid: 'u', name: 'web', state },
    paths.map((newPath, index) => ({ target: `vd${index}`, newPath })),
  );

describe('demandOfflineNames', () => {
  it('refuses a comma while the VM is off, with the disk, the folder and the way out', () => {
    const call = () => demand('shut-off', '/pool/a.qcow2', '/pool/x, y/b.qcow2');
    expect(call).toThrow(
      /^Disk vd1 of VM web lies in \/pool\/x, y, and libvirt .* Start the VM, then try again, or move the disk\.$/,
    );
    expect(call).toThrow(
      expect.objectContaining({ code: 'DISK_UNSUPPORTED', fields: { vmId: 'u', target: 'vd1', path: '/pool/x, y' } }),
    );
  });

  it('refuses nothing else', () => {
    for (const state of ['running', 'paused'] as const) expect(() => demand(state, '/pool/x, y/b.qcow2')).not.toThrow();
    expect(() => demand('shut-off', `/pool/it's "x" $(y) %41/b.qcow2`)).not.toThrow();
  });
});
