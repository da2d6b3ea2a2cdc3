import { describe, expect, it } from '@jest/globals';
import { compactedManifest, withCompaction } from './compaction.js';
import { manifestSchema } from './manifest.js';

const id = (digit: string): string => `${digit.repeat(8)}-0000-4000-8000-000000000000`;
const digest = (digit: string): string => `blake3:${digit.repeat(64)}`;
const volume = { device: 'vda', sizeBytes: '10', virtualSizeBytes: '100', format: 'qcow2', sourceFormat: 'raw' };
const [grown, whole] = [
  {
    ...volume,
    key: id('a'),
    file: `${id('a')}.qcow2`,
    parentFile: `../${id('1')}/${id('a')}.qcow2`,
    digest: digest('1'),
    later: 'x',
  },
  { ...volume, key: id('b'), file: `${id('b')}.qcow2`, digest: digest('2') },
];
const manifest = {
  schemaVersion: 1,
  backupId: id('2'),
  backupName: 'b',
  vm: { id: id('9'), name: 'vm' },
  storageId: id('8'),
  frozenAt: '2026-01-01T00:00:00.000Z',
  publishedAt: '2026-01-01T00:00:00.000Z',
  type: 'INCREMENTAL',
  parentBackupId: id('1'),
  endOfChain: false,
  isolated: false,
  quiesced: false,
  volumes: [grown, whole],
  domainXmlFile: 'domain.xml',
  vmSettings: {},
  notes: { description: 'kept' },
  writtenBy: { program: 'holdfast-agent', version: '1', host: 'h', operationId: id('7') },
  ofALaterVersion: { kept: true },
};
const text = `${JSON.stringify(manifest, null, 2)}\n`;
const mark = { role: 'absorbs', backupId: id('1'), operationId: id('6') } as const;

describe('what compaction writes into manifests', () => {
  it('is a mark that can be changed and taken out again without a trace', () => {
    const marked = withCompaction(text, mark);
    expect(manifestSchema.parse(JSON.parse(marked)).compaction).toEqual(mark);
    expect(withCompaction(marked, mark)).toBe(marked);
    expect(withCompaction(marked, undefined)).toBe(text);
  });

  it('is at the end a full backup without a parent; what was not merged, and what a later version wrote, stays', () => {
    const merged = [{ key: id('a'), sizeBytes: '99', digest: digest('3') }];
    const once = compactedManifest(withCompaction(text, mark), merged);
    const alone = { ...grown, parentFile: undefined, sizeBytes: '99', digest: digest('3') };
    const expected = { ...manifest, parentBackupId: undefined, type: 'FULL', volumes: [alone, whole] };
    expect(JSON.parse(once)).toEqual(JSON.parse(JSON.stringify(expected)));
    expect(compactedManifest(once, merged)).toBe(once);
  });

  it('is never what nobody could read', () => {
    expect(() => withCompaction(text, { ...mark, backupId: 'no id' })).toThrow();
    expect(() => compactedManifest(text, [{ key: id('a'), sizeBytes: '99', digest: 'none' }])).toThrow();
  });
});
