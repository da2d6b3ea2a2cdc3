/** Which layers of a volume an agent is told of: those of ours that are in the chain, or that a revert put beside it. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { settleVolume } from './plan-settle.js';

const layer = fc.record({
  /** In the chain that the VM uses. */
  inChain: fc.boolean(),
  owner: fc.constantFrom('delta', 'head', 'overlay', 'branch', 'foreign'),
  volumeId: fc.constantFrom('V', 'W'),
});

describe('settleVolume', () => {
  it('names exactly what is ours and may be judged, once each, in the order of the chain', () => {
    fc.assert(
      fc.property(fc.array(layer, { maxLength: 12 }), (made) => {
        const all = made.map((one, index) => ({ ...one, path: `/p/${index}` }));
        const chain = all.filter((one) => one.inChain).map(({ path }) => ({ path }));
        const rows = {
          deltas: all
            .filter(({ owner }) => owner === 'delta' || owner === 'head')
            .map(({ volumeId, path, owner }) => ({ volumeId, path, backupId: owner, state: 'Present' as const })),
          overlays: all
            .filter(({ owner }) => owner === 'overlay' || owner === 'branch')
            .map(({ volumeId, path, owner }) => ({ volumeId, path, branch: owner === 'branch', state: 'Present' as const })),
        };
        const volume = { id: 'V', target: 'vda', layers: chain, templatePath: null };
        const wish = settleVolume(volume, rows, [], (delta) => delta.backupId === 'head');
        const expected = all.filter(
          (one) =>
            one.volumeId === 'V' && (one.inChain ? one.owner !== 'foreign' && one.owner !== 'head' : one.owner === 'branch'),
        );
        expect([...wish.deltaPaths].sort()).toEqual(expected.map(({ path }) => path).sort());
        const named = wish.deltaPaths.filter((path) => chain.some((one) => one.path === path));
        expect(named).toEqual(chain.map(({ path }) => path).filter((path) => named.includes(path)));
      }),
    );
  });

  it('says what must stay, and where the template begins', () => {
    const pins = [{ snapshotId: 's', path: '/p/vol' }];
    const volume = { id: 'V', target: 'vda', layers: [{ path: '/p/vol' }], templatePath: '/p/template' };
    expect(settleVolume(volume, { deltas: [], overlays: [] }, pins)).toEqual({
      target: 'vda',
      deltaPaths: [],
      pins,
      templatePath: '/p/template',
    });
  });
});
