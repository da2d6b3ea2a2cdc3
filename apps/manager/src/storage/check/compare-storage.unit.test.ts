import { describe, expect, it } from '@jest/globals';
import type { SurveyedEntry } from '../../agents/agent-types.js';
import { comparePrimary } from './compare-primary.js';
import { compareStorage, type RecordedBackup } from './compare-storage.js';
import { findingId, isRemovable, type Finding } from './finding.js';

const STORAGE = '10000000-0000-4000-8000-000000000000';
const VM = '20000000-0000-4000-8000-000000000000';
const KEY = '30000000-0000-4000-8000-000000000000';
const B1 = '40000000-0000-4000-8000-000000000001';
const B2 = '40000000-0000-4000-8000-000000000002';
const DIGEST = `blake3:${'0'.repeat(64)}`;

const manifest = (id: string, parent?: string, change: object = {}): string =>
  JSON.stringify({
    ...{ schemaVersion: 1, backupId: id, backupName: id.slice(-1), vm: { id: VM, name: 'vm' }, storageId: STORAGE },
    ...{ frozenAt: '2026-01-01T00:00:00Z', publishedAt: '2026-01-01T00:00:00Z', type: parent ? 'INCREMENTAL' : 'FULL' },
    ...(parent === undefined ? {} : { parentBackupId: parent }),
    ...{ endOfChain: false, isolated: false, quiesced: false, domainXmlFile: 'domain.xml', vmSettings: {}, notes: {} },
    volumes: [
      {
        ...{ key: KEY, device: 'vda', sizeBytes: '100', virtualSizeBytes: '1000', file: `${KEY}.qcow2`, format: 'qcow2' },
        ...(parent === undefined ? {} : { parentFile: `../${parent}/${KEY}.qcow2` }),
        ...{ sourceFormat: 'qcow2', digest: DIGEST },
      },
    ],
    writtenBy: { program: 'holdfast-agent', version: '1', host: 'h', operationId: KEY },
    ...change,
  });
const file = (path: string, more: Partial<SurveyedEntry> = {}): SurveyedEntry => ({
  ...{
    path,
    directory: false,
    sizeBytes: 100n,
    allocatedBytes: 512n,
    manifest: undefined,
    backingName: undefined,
    disks: [],
    problem: '',
  },
  ...more,
});
const folder = (path: string): SurveyedEntry => file(path, { directory: true, sizeBytes: 0n, allocatedBytes: 0n });
const backupFiles = (id: string, parent?: string): SurveyedEntry[] => [
  folder(`backups/${VM}/${id}`),
  file(`backups/${VM}/${id}/manifest.json`, { manifest: manifest(id, parent) }),
  file(`backups/${VM}/${id}/domain.xml`),
  file(`backups/${VM}/${id}/${KEY}.qcow2`, { backingName: parent === undefined ? '' : `../${parent}/${KEY}.qcow2` }),
];
const whole = [folder(`backups/${VM}`), ...backupFiles(B1), ...backupFiles(B2, B1)];
const row = (id: string, state: RecordedBackup['state'] = 'BackedUp', more: Partial<RecordedBackup> = {}): RecordedBackup => ({
  ...{ id, vmId: VM, vmName: 'vm', name: `b${id.slice(-1)}`, state },
  ...(id === B2 ? { type: 'INCREMENTAL' as const, parentId: B1 } : { type: 'FULL' as const, parentId: null }),
  ...more,
});
const at = (id: string, name = ''): string => `backups/${VM}/${id}${name === '' ? '' : `/${name}`}`;
const check = (entries: readonly SurveyedEntry[], backups = [row(B1), row(B2)], busy: string[] = []): Finding[] =>
  compareStorage({ storageId: STORAGE, entries, backups, busyVmIds: new Set(busy) });
const brief = (found: readonly Finding[]): string[] => found.map(({ kind, path }) => `${kind} ${path}`);
const changed = (path: string, more: Partial<SurveyedEntry>): SurveyedEntry[] =>
  whole.map((entry) => (entry.path === path ? { ...entry, ...more } : entry));
const without = (...paths: string[]): SurveyedEntry[] => whole.filter(({ path }) => !paths.includes(path));

describe('compareStorage', () => {
  it('finds nothing where everything is as recorded, Removed parents and screenshots included', () => {
    expect(check(whole)).toEqual([]);
    expect(check([...whole, file(at(B2, 'screenshot.png'))], [row(B1, 'Removed'), row(B2)])).toEqual([]);
    expect(check([], [row(B1, 'Expunged'), row(B2, 'Failed')])).toEqual([]);
  });

  it('finds nothing in two backups that are just being merged, whose manifests say what was', () => {
    const merging = (role: string, other: string) => ({ compaction: { role, backupId: other, operationId: KEY } });
    const entries = [
      ...[folder(`backups/${VM}`), folder(at(B1)), file(at(B1, 'domain.xml')), folder(at(B2)), file(at(B2, 'domain.xml'))],
      file(at(B1, 'manifest.json'), { manifest: manifest(B1, undefined, merging('absorbed', B2)) }),
      file(at(B2, 'manifest.json'), { manifest: manifest(B2, B1, merging('absorbs', B1)) }),
      file(at(B2, `${KEY}.qcow2`), { backingName: '', sizeBytes: 200n }),
    ];
    expect(check(entries, [row(B1, 'Removed'), row(B2)])).toEqual([]);
  });

  it.each<[string, readonly SurveyedEntry[], readonly RecordedBackup[], string[]]>([
    [
      'a folder without a manifest',
      [...whole, folder(at(KEY)), file(at(KEY, 'x.qcow2'))],
      [row(B1), row(B2)],
      [`FolderWithoutManifest ${at(KEY)}`],
    ],
    [
      'the folder of a failed backup',
      without(at(B2, 'manifest.json')),
      [row(B1), row(B2, 'Failed')],
      [`FolderWithoutManifest ${at(B2)}`],
    ],
    [
      'a partial file',
      [...whole, file(at(B1, `${KEY}.qcow2.partial`))],
      [row(B1), row(B2)],
      [`PartialFile ${at(B1, `${KEY}.qcow2.partial`)}`],
    ],
    ['a file of no manifest', [...whole, file(at(B1, 'notes.txt'))], [row(B1), row(B2)], [`StrayFile ${at(B1, 'notes.txt')}`]],
    ['files of a deleted backup', whole, [row(B1), row(B2, 'Expunged')], [`DeletedBackup ${at(B2)}`]],
    ['a backup that the database does not know', whole, [row(B1)], [`UnknownBackup ${at(B2)}`]],
    ['a published backup that is recorded as failed', whole, [row(B1), row(B2, 'Failed')], [`UnknownBackup ${at(B2)}`]],
    [
      'a record that its manifest contradicts, in the type or in the parent',
      whole,
      [row(B1, 'BackedUp', { type: 'INCREMENTAL' }), row(B2, 'Removed', { parentId: KEY })],
      [`RecordDiffers ${at(B1)}`, `RecordDiffers ${at(B2)}`],
    ],
    ['a recorded backup without folder', whole, [row(B1), row(B2), row(KEY)], [`MissingFile ${at(KEY)}`]],
    [
      'a recorded backup without manifest',
      without(at(B2, 'manifest.json')),
      [row(B1), row(B2)],
      [`MissingFile ${at(B2, 'manifest.json')}`],
    ],
    ['a missing file', without(at(B2, `${KEY}.qcow2`)), [row(B1), row(B2)], [`MissingFile ${at(B2, `${KEY}.qcow2`)}`]],
    ['a missing definition', without(at(B1, 'domain.xml')), [row(B1), row(B2)], [`MissingFile ${at(B1, 'domain.xml')}`]],
    [
      'a missing parent',
      without(at(B1, `${KEY}.qcow2`)),
      [row(B1), row(B2)],
      [`MissingFile ${at(B1, `${KEY}.qcow2`)}`, `BrokenParent ${at(B2, `${KEY}.qcow2`)}`],
    ],
    [
      'another size',
      changed(at(B1, `${KEY}.qcow2`), { sizeBytes: 99n }),
      [row(B1), row(B2)],
      [`SizeDiffers ${at(B1, `${KEY}.qcow2`)}`],
    ],
    [
      'another parent in the header',
      changed(at(B2, `${KEY}.qcow2`), { backingName: '/abs' }),
      [row(B1), row(B2)],
      [`BrokenParent ${at(B2, `${KEY}.qcow2`)}`],
    ],
    [
      'an unreadable image',
      changed(at(B2, `${KEY}.qcow2`), { backingName: undefined, problem: 'no image' }),
      [row(B1), row(B2)],
      [`UnreadableFile ${at(B2, `${KEY}.qcow2`)}`],
    ],
    [
      'an unreadable manifest',
      changed(at(B2, 'manifest.json'), { manifest: '{"schemaVersion":2}' }),
      [row(B1), row(B2)],
      [`UnreadableManifest ${at(B2)}`],
    ],
    [
      'a manifest that could not be read',
      changed(at(B2, 'manifest.json'), { manifest: undefined, problem: 'I/O error' }),
      [row(B1), row(B2)],
      [`UnreadableManifest ${at(B2)}`],
    ],
    [
      'the manifest of another backup',
      changed(at(B2, 'manifest.json'), { manifest: manifest(B1) }),
      [row(B1), row(B2)],
      [`UnreadableManifest ${at(B2)}`],
    ],
    [
      'foreign things',
      [
        ...whole,
        file('backups/readme'),
        folder('backups/other'),
        file('backups/other/x'),
        folder(`backups/${VM}/my stuff`),
        file(`backups/${VM}/my stuff/x`),
        folder(at(B1, 'sub')),
        file(at(B1, 'sub/x')),
      ],
      [row(B1), row(B2)],
      [
        `ForeignEntry ${at(B1, 'sub')}`,
        `ForeignEntry backups/${VM}/my stuff`,
        'ForeignEntry backups/other',
        'ForeignEntry backups/readme',
      ],
    ],
  ])('%s', (_name, entries, backups, expected) => {
    expect(brief(check(entries, [...backups]))).toEqual(expected);
  });

  it('says nothing of what is being decided', () => {
    const torn = without(at(B2, 'manifest.json'), at(B1, `${KEY}.qcow2`));
    expect(check(torn, [row(B1), row(B2)], [VM])).toEqual([]);
    expect(check(without(at(B2, 'manifest.json')), [row(B1), row(B2, 'DeleteFailed')])).toEqual([]);
    expect(check(without(at(B2, 'manifest.json')), [row(B1), row(B2, 'BackingUp')])).toEqual([]);
  });

  it('never offers to remove what is, or may be, a backup', () => {
    const kinds = check([...whole, folder(at(KEY))], []).filter(isRemovable);
    expect(brief(kinds)).toEqual([`FolderWithoutManifest ${at(KEY)}`]);
    expect(kinds[0]?.allocatedBytes).toBe(0n);
    expect(check(whole, [row(B1), row(B2, 'Expunged')])[0]?.allocatedBytes).toBe(1536n);
  });

  it('gives the same finding the same id, and others another', () => {
    const [found] = check(whole, [row(B1)]);
    expect(findingId(found as Finding)).toBe(findingId({ ...(found as Finding), allocatedBytes: 9n, message: 'other' }));
    expect(findingId(found as Finding)).not.toBe(findingId({ ...(found as Finding), hostId: 'h' }));
  });
});

describe('comparePrimary', () => {
  const layer = (path: string, inode = 1n) => ({ path, inode, sizeBytes: 5n, allocatedBytes: 4n });
  const host = (id: string, ...layers: ReturnType<typeof layer>[]) => ({ id, name: id, layers });

  it('tells layers that nobody knows from those that are used or recorded', () => {
    const found = comparePrimary({
      hosts: [host('h1', layer('/p/orphan'), layer('/p/used'), layer('/p/recorded'), layer('/p/both'), layer('/p/seen'))],
      inChains: new Map([
        ['/p/used', 'vm'],
        ['/p/both', 'vm'],
      ]),
      recorded: new Set(['/p/recorded', '/p/both']),
      lastSeen: new Set(['/p/seen', '/p/used']),
      beingMade: false,
    });
    expect(brief(found)).toEqual(['OrphanLayer /p/orphan', 'UntrackedLayer /p/used']);
    expect(found.map(isRemovable)).toEqual([true, false]);
    expect(found[0]).toMatchObject({ hostId: 'h1', inode: 1n, allocatedBytes: 4n });
  });

  it('names a file of a shared pool once, and files of the same name on two hosts twice', () => {
    const hosts = [host('h1', layer('/p/a'), layer('/p/b', 1n)), host('h2', layer('/p/a'), layer('/p/b', 2n))];
    const found = comparePrimary({ hosts, inChains: new Map(), recorded: new Set(), lastSeen: new Set(), beingMade: false });
    expect(found.map(({ path, hostId }) => `${path} ${hostId}`)).toEqual(['/p/a h1', '/p/b h1', '/p/b h2']);
  });

  it('names what restores and reverts left, and nothing that a VM, a record or an operation has', () => {
    const restored = (name: string): string => `/p/${name}.0a1b2c3d.restored.qcow2`;
    const paths = ['left', 'disk', 'defined', 'superseded', 'undefined', 'making'].map(restored);
    const partials = [`${restored('torn')}.partial`, `${restored('making')}.partial`, '/p/torn.0a1b2c3d.hr.qcow2.partial'];
    const input = {
      hosts: [host('h1', ...[...paths, ...partials].map((path) => layer(path)))],
      inChains: new Map([[restored('defined'), 'vm']]),
      recorded: new Set(['disk', 'superseded', 'making'].map(restored)),
      lastSeen: new Set([restored('undefined')]),
    };
    const found = comparePrimary({ ...input, beingMade: false });
    expect(brief(found)).toEqual([
      `OrphanVolume ${restored('left')}`,
      'PartialFile /p/torn.0a1b2c3d.hr.qcow2.partial',
      `PartialFile ${restored('torn')}.partial`,
    ]);
    expect(found.map(isRemovable)).toEqual([true, true, true]);
    expect(comparePrimary({ ...input, beingMade: true })).toEqual([]);
  });
});
