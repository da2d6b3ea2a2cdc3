/** Which disk is which volume: a table of what can happen to a VM between two looks. */
import { describe, expect, it } from '@jest/globals';
import { matchVolumes, type KnownVolume, type SeenDiskFacts } from './match-volumes.js';

const known = (id: string, change: Partial<KnownVolume> = {}): KnownVolume => ({
  id,
  target: 'vda',
  serial: '',
  attached: true,
  virtualSizeBytes: 10n,
  activePath: `/p/${id}.d1`,
  basePath: `/p/${id}`,
  intendedPath: null,
  ownPaths: [`/p/${id}.d1`],
  ...change,
});
const seen = (target: string, paths: string[], change: Partial<SeenDiskFacts> = {}): SeenDiskFacts => ({
  target,
  serial: '',
  virtualSizeBytes: 10n,
  paths,
  ...change,
});

describe('matchVolumes', () => {
  it.each<[string, KnownVolume[], SeenDiskFacts[], [string, string, string][], string[], string[]]>([
    [
      'the same active layer is the same volume',
      [known('a')],
      [seen('vda', ['/p/a.d1', '/p/a'])],
      [['a', 'vda', 'same']],
      [],
      [],
    ],
    [
      'a foreign snapshot on top leaves it the same',
      [known('a')],
      [seen('vda', ['/p/snap', '/p/a.d1', '/p/a'])],
      [['a', 'vda', 'same']],
      [],
      [],
    ],
    ['a merged delta leaves it the same', [known('a')], [seen('vda', ['/p/a'])], [['a', 'vda', 'same']], [], []],
    [
      'its own base below unknown layers is enough',
      [known('a', { ownPaths: [], activePath: '/p/a' })],
      [seen('vda', ['/p/x', '/p/a'])],
      [['a', 'vda', 'same']],
      [],
      [],
    ],
    [
      'a disk that changed its target is followed by its files',
      [known('a')],
      [seen('sdc', ['/p/a.d1', '/p/a'])],
      [['a', 'sdc', 'same']],
      [],
      [],
    ],
    [
      'two disks that swapped their targets are not mixed up',
      [known('a', { target: 'vda' }), known('b', { target: 'vdb' })],
      [seen('vda', ['/p/b.d1', '/p/b']), seen('vdb', ['/p/a.d1', '/p/a'])],
      [
        ['b', 'vda', 'same'],
        ['a', 'vdb', 'same'],
      ],
      [],
      [],
    ],
    [
      'other files at the same target and of the same size: moved',
      [known('a')],
      [seen('vda', ['/q/new'])],
      [['a', 'vda', 'moved']],
      [],
      [],
    ],
    [
      'other files, another size, the same serial: moved',
      [known('a', { serial: 'S1' })],
      [seen('vda', ['/q/new'], { serial: 'S1', virtualSizeBytes: 20n })],
      [['a', 'vda', 'moved']],
      [],
      [],
    ],
    [
      'other files and another serial: a new volume, the old one is detached',
      [known('a', { serial: 'S1' })],
      [seen('vda', ['/q/new'], { serial: 'S2' })],
      [],
      ['vda'],
      ['a'],
    ],
    [
      'other files and another size: a new volume',
      [known('a')],
      [seen('vda', ['/q/new'], { virtualSizeBytes: 20n })],
      [],
      ['vda'],
      ['a'],
    ],
    [
      'a disk that is gone is detached',
      [known('a'), known('b', { target: 'vdb' })],
      [seen('vda', ['/p/a.d1', '/p/a'])],
      [['a', 'vda', 'same']],
      [],
      ['b'],
    ],
    [
      'a detached disk that comes back at another target is known again',
      [known('a', { attached: false })],
      [seen('vdf', ['/p/a'])],
      [['a', 'vdf', 'same']],
      [],
      [],
    ],
    [
      'a detached volume is not taken for another disk at its old target',
      [known('a', { attached: false })],
      [seen('vda', ['/q/new'])],
      [],
      ['vda'],
      [],
    ],
    [
      'the file of a running restore is known before the agent has spoken',
      [known('a', { intendedPath: '/p/r', attached: false })],
      [seen('vdb', ['/p/r'])],
      [['a', 'vdb', 'same']],
      [],
      [],
    ],
    [
      'a disk that cannot be looked into stays what it was',
      [known('a')],
      [seen('vda', [])],
      [['a', 'vda', 'unreadable']],
      [],
      [],
    ],
    [
      'strong evidence goes before weak: a new disk at a target does not take a moved one',
      [known('a', { target: 'vda' }), known('b', { target: 'vdb' })],
      [seen('vda', ['/q/new']), seen('vdb', ['/p/a.d1', '/p/a'])],
      [['a', 'vdb', 'same']],
      ['vda'],
      ['b'],
    ],
    [
      'two volumes on one template are told apart by their own files',
      [known('a', { target: 'vda' }), known('b', { target: 'vdb' })],
      [seen('vda', ['/p/a', '/t']), seen('vdb', ['/p/b', '/t'])],
      [
        ['a', 'vda', 'same'],
        ['b', 'vdb', 'same'],
      ],
      [],
      [],
    ],
  ])('%s', (_name, volumes, disks, matches, added, missing) => {
    const result = matchVolumes(volumes, disks);
    expect(result.matches.map(({ volumeId, disk, kind }) => [volumeId, disk.target, kind]).sort()).toEqual([...matches].sort());
    expect(result.added.map((disk) => disk.target)).toEqual(added);
    expect(result.missing).toEqual(missing);
  });
});
