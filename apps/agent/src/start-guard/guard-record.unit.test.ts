import { describe, expect, it } from '@jest/globals';
import { hasLayerName } from '@holdfast/shared/chain/layer-names.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { parsePairs, printPairs, recordAfter, recordWithRight } from './guard-record.js';

const BASE = '/p/vol.qcow2';
const D1 = '/p/vol.11111111-1111-4111-8111-111111111111.hf.qcow2';
const D2 = '/p/vol.22222222-2222-4222-8222-222222222222.hf.qcow2';
const S1 = '/p/vol.33333333-3333-4333-8333-333333333333.hs.qcow2';
const R1 = '/p/vol.44444444.hr.qcow2';
const FOREIGN = '/p/vol.mine';

function vm(state: ObservedDomain['state'], ...chains: string[][]): ObservedDomain {
  return {
    ...{ uuid: 'u', name: 'vm', state, persistent: true, guestAgent: false, vcpus: 1, memoryBytes: 1n, nvramPath: undefined },
    disks: chains.map((paths, index) => ({
      ...{ target: `vd${'abc'[index]}`, serial: '', format: 'qcow2', virtualSizeBytes: 1n, definedPath: paths[0] },
      layers: paths.map((path) => ({ path, format: 'qcow2', inode: 1n, virtualSizeBytes: 1n, allocatedBytes: 1n })),
      refusal: undefined,
    })),
    problems: [],
  } as unknown as ObservedDomain;
}

const after = (...looks: ObservedDomain[]): object =>
  Object.fromEntries(looks.reduce<ReadonlyMap<string, string>>((record, look) => recordAfter(record, look), new Map()));

describe('names of layers', () => {
  it.each([
    [D1, true],
    [S1, true],
    [R1, true],
    [BASE, false],
    ['/p/vol.44444444.restored.qcow2', false],
    [`${D1}.bak`, false],
    ['/p/vol.hf.qcow2', false],
  ])('%s: %p', (path, expected) => expect(hasLayerName(path)).toBe(expected));
});

describe('the record of the start guard', () => {
  it('calls stale what lies below a layer of ours, and only that', () => {
    expect(after(vm('running', [D1, BASE, '/t/template'], [FOREIGN, '/p/b']))).toEqual({ [BASE]: D1, '/t/template': D1 });
    expect(after(vm('shut-off', [FOREIGN, D1, BASE]))).toEqual({ [BASE]: FOREIGN });
    expect(after(vm('running', [BASE]))).toEqual({});
  });

  it('keeps its word when a stopped VM is pointed at a stale layer, at any depth', () => {
    const good = vm('running', [D2, D1, BASE]);
    expect(after(good, vm('shut-off', [BASE]))).toEqual({ [BASE]: D2, [D1]: D2 });
    expect(after(good, vm('shut-off', [D1, BASE]))).toEqual({ [BASE]: D2, [D1]: D2 });
    expect(after(good, vm('shut-off', ['/elsewhere']), vm('shut-off', [BASE]))).toEqual({ [BASE]: D2, [D1]: D2 });
  });

  it('believes what runs, and what Holdfast defines itself', () => {
    expect(after(vm('running', [D1, BASE]), vm('running', [BASE]))).toEqual({});
    expect(Object.fromEntries(recordWithRight(new Map([[BASE, D1]]), [BASE, '/p/other']))).toEqual({});
  });

  it('follows a new delta, a merge and a revert', () => {
    expect(after(vm('shut-off', [D1, BASE]), vm('shut-off', [D2, D1, BASE]))).toEqual({ [BASE]: D2, [D1]: D2 });
    expect(after(vm('running', [D2, D1, BASE]), vm('running', [D2, BASE]))).toMatchObject({ [BASE]: D2 });
    expect(after(vm('shut-off', [S1, D1, BASE]), vm('shut-off', [R1, D1, BASE]))).toEqual({ [BASE]: R1, [D1]: R1 });
  });

  it('knows nothing new of a disk that cannot be read', () => {
    expect(after(vm('running', [D1, BASE]), vm('running', []))).toEqual({ [BASE]: D1 });
  });

  it('is read back as it was written, but for names that do not fit into a line', () => {
    const record = new Map([
      ['/p/a "b" & <c>', D1],
      ['/p/line\nbreak', D1],
      ['/p/tab\t', D1],
    ]);
    expect([...parsePairs(printPairs(record))]).toEqual([['/p/a "b" & <c>', D1]]);
    expect(parsePairs('something else\nlayer\t/a\t/b\n')).toEqual([]);
  });
});
