import { describe, expect, it } from '@jest/globals';
import { readDomain } from './domain-facts.js';
import { compareDisks, listedBackingProblem, movedAway, powerState, readState, samePath, type Known } from './observe.js';
import { conventionalAlias, filePath, qemuDiskOf, readQemuDisks, type QueryBlock } from './qemu-block.js';

const disk = (path: string, extra = '') =>
  `<disk type='file' device='disk'><driver type='qcow2'/><source file='${path}'/>${extra}<target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>`;
const domain = (...disks: string[]) =>
  readDomain(`<domain id='1'><name>web</name><uuid>u</uuid><devices>${disks.join('')}</devices></domain>`);
type Image = NonNullable<NonNullable<QueryBlock[number]['inserted']>['image']>;
const image = (...paths: string[]): Image => {
  const [filename = '', ...below] = paths;
  return { filename, format: 'qcow2', ...(below.length === 0 ? {} : { 'backing-image': image(...below) }) };
};
const open = (...paths: string[]) =>
  readQemuDisks([{ qdev: '/machine/peripheral/virtio-disk0/virtio-backend', inserted: { image: image(...paths) } }]);
const known = (live: string, defined: string, qemu: readonly string[], reason?: number): Known => ({
  current: domain(disk(live)),
  persistent: domain(disk(defined)),
  qemu: open(...qemu),
  state: reason === undefined ? { state: 1, reason: 1 } : { state: 3, reason },
  snapshots: [],
});
const problems = (one: Known) => compareDisks(one).map((standing) => standing.problem?.code);

describe('comparing libvirt with QEMU', () => {
  it.each<[string, Known, string | undefined]>([
    ['all agree', known('/p/a', '/p/a', ['/p/a', '/p/base']), undefined],
    ['a snapshot that libvirt did not note', known('/p/a', '/p/a', ['/p/overlay', '/p/a']), 'HYPERVISOR_OUT_OF_STEP'],
    ['that, with the definition mended', known('/p/a', '/p/overlay', ['/p/overlay', '/p/a']), 'HYPERVISOR_OUT_OF_STEP'],
    ['a pivot that libvirt did not note', known('/p/top', '/p/top', ['/p/mid']), 'HYPERVISOR_OUT_OF_STEP'],
    [
      'an interrupted repair: pivoted, guest stopped through QEMU',
      known('/p/a', '/p/overlay', ['/p/a'], 0),
      'HYPERVISOR_OUT_OF_STEP',
    ],
    ['a definition changed by hand', known('/p/a', '/p/other', ['/p/a']), 'DEFINITION_DRIFT'],
    ['the same, paused by its user', known('/p/a', '/p/other', ['/p/a'], 1), 'DEFINITION_DRIFT'],
    ['a line break that libvirt has turned into a space', known('/p/a b', '/p/a b', ['/p/a\nb']), undefined],
  ])('%s', (_case, one, code) => {
    expect(problems(one)).toEqual([code]);
  });

  it('names the target, both paths and the way out', () => {
    const [drift] = compareDisks(known('/p/a', '/p/other', ['/p/a']));
    for (const part of ['vda', '/p/a', '/p/other', 'web', 'virsh edit']) expect(drift?.problem?.message).toContain(part);
    const [astray] = compareDisks(known('/p/a', '/p/a', ['/p/overlay', '/p/a']));
    for (const part of ['vda', '/p/a', '/p/overlay', 'web', 'Do not shut']) expect(astray?.problem?.message).toContain(part);
  });

  it('sees disks that are only in one of the two definitions', () => {
    const both = domain(disk('/p/a'));
    const base = { qemu: open('/p/a'), state: { state: 1, reason: 1 }, snapshots: [] };
    expect(problems({ ...base, current: both, persistent: domain() })).toEqual(['DEFINITION_DRIFT']);
    expect(problems({ ...base, current: domain(), persistent: both })).toEqual(['DEFINITION_DRIFT']);
    expect(problems({ ...base, current: both, persistent: undefined })).toEqual([undefined]);
  });

  it.each([
    [5, 4, true],
    [5, 1, false],
    [5, 0, false],
    [1, 4, false],
  ])('state %i for reason %i: moved away is %s', (state, reason, away) => {
    expect(movedAway({ state, reason })).toBe(away);
  });

  it('does not compare a stopped domain with a QEMU that is not there', () => {
    expect(
      problems({
        current: domain(disk('/p/a')),
        persistent: domain(disk('/p/a')),
        qemu: undefined,
        state: { state: 5, reason: 0 },
        snapshots: [],
      }),
    ).toEqual([undefined]);
  });

  it.each<[string, string, string[], boolean]>([
    ['nothing listed', '', ['/p/a', '/p/b'], true],
    ['the chain listed, open-ended', `<backingStore><source file='/p/b'/></backingStore>`, ['/p/a', '/p/b', '/p/c'], true],
    ['the whole chain listed', `<backingStore><source file='/p/b'/><backingStore/></backingStore>`, ['/p/a', '/p/b'], true],
    ['a layer skipped', `<backingStore><source file='/p/c'/></backingStore>`, ['/p/a', '/p/b', '/p/c'], false],
    ['an end where there is none', `<backingStore/>`, ['/p/a', '/p/b'], false],
    ['an end where it is', `<backingStore/>`, ['/p/a'], true],
    ['a layer that is gone', `<backingStore><source file='/p/b'/></backingStore>`, ['/p/a'], false],
  ])('a definition with %s', (_case, listed, chain, agrees) => {
    const [facts] = domain(disk('/p/a', listed)).disks;
    if (facts === undefined) throw new Error('no disk was read');
    expect(listedBackingProblem({ uuid: 'u', name: 'web' }, facts, chain)?.code).toBe(agrees ? undefined : 'DEFINITION_DRIFT');
  });

  it('reads states by number', () => {
    expect(readState(`Domain: 'state.state=5'\n  state.state=3\n  state.reason=0\n`)).toEqual({ state: 3, reason: 0 });
    expect(readState('')).toBeUndefined();
    expect([1, 2, 3, 5, 4, 7].map((state) => powerState({ state, reason: 0 }))).toEqual([
      'running',
      'running',
      'paused',
      'shut-off',
      'other',
      'other',
    ]);
  });

  it('takes no two different files for one', () => {
    expect(samePath('/a', '/b')).toBe(false);
    expect(samePath(undefined, undefined)).toBe(false);
  });
});

describe("reading QEMU's answers", () => {
  it.each<[string, string | undefined]>([
    ['/plain, "odd" \n json:{}', '/plain, "odd" \n json:{}'],
    ['json:{"driver":"qcow2","file":{"driver":"file","filename":"/a \\"b\\"\\n,c"}}', '/a "b"\n,c'],
    ['json:{"driver":"qcow2","file.filename":"/a"}', '/a'],
    ['json:{"driver":"throttle","file":{"driver":"qcow2","file":{"driver":"file","filename":"/a"}}}', '/a'],
    ['json:{"driver":"nbd","host":"x"}', undefined],
    ['json:{"driver":"qcow2","file":{"driver":"file","filena...', undefined],
    ['nbd://host/x', undefined],
  ])('path of %j', (name, path) => {
    expect(filePath(name)).toBe(path);
  });

  it('leaves out filters and empty drives', () => {
    const answer: QueryBlock = [
      { qdev: 'ide0-0-0' },
      {
        qdev: 'scsi0-0-0-1',
        inserted: {
          image: {
            filename: '/a',
            format: 'mirror_top',
            'backing-image': { filename: '/a', format: 'qcow2', 'virtual-size': 5 },
          },
        },
      },
    ];
    const disks = readQemuDisks(answer);
    expect(disks).toHaveLength(1);
    expect(disks[0]?.layers).toMatchObject([{ path: '/a', format: 'qcow2', virtualSizeBytes: 5n }]);
  });

  it.each<[Parameters<typeof conventionalAlias>[0], string | undefined]>([
    [{ bus: 'virtio', target: 'vda', drive: undefined }, 'virtio-disk0'],
    [{ bus: 'virtio', target: 'vdab', drive: undefined }, 'virtio-disk27'],
    [{ bus: 'scsi', target: 'sdb', drive: ['0', '0', '1', '2'] }, 'scsi0-0-1-2'],
    [{ bus: 'sata', target: 'sda', drive: ['0', '0', '0', '3'] }, 'sata0-0-3'],
    [{ bus: 'xen', target: 'xvda', drive: undefined }, undefined],
  ])('alias of %j', (facts, alias) => {
    expect(conventionalAlias(facts)).toBe(alias);
  });

  it('does not take disk 1 for disk 10', () => {
    const disks = readQemuDisks([
      { qdev: '/machine/peripheral/virtio-disk10/virtio-backend', inserted: { image: { filename: '/a', format: 'raw' } } },
    ]);
    expect(qemuDiskOf({ alias: 'virtio-disk1', bus: 'virtio', target: 'vdb', drive: undefined }, disks)).toBeUndefined();
    expect(qemuDiskOf({ alias: 'virtio-disk10', bus: 'virtio', target: 'vdk', drive: undefined }, disks)).toBeDefined();
  });
});
