import { describe, expect, it } from '@jest/globals';
import type { FileFacts } from '../looks/file-looks.js';
import { HeldHeaders } from './held-headers.js';
import type { ImageInfo } from './image-tool.js';

const facts = (more: Partial<FileFacts> = {}): FileFacts => ({
  identity: '1:2',
  inode: 2n,
  modified: '1000.5',
  sizeBytes: 10n,
  allocatedBytes: 10n,
  kind: 'file',
  ...more,
});
const info = { path: '/a' } as ImageInfo;

/** How many of these looks at one path read its header. */
async function reads(...looks: (FileFacts & { format?: string })[]): Promise<number> {
  const headers = new HeldHeaders();
  let count = 0;
  for (const look of looks) {
    const read = async () => {
      count += 1;
      return info;
    };
    expect(await headers.of('/a', look, look.format ?? 'qcow2', read)).toBe(info);
  }
  return count;
}

describe('headers of layers that a QEMU holds', () => {
  it('are read once while the file does not change', async () => {
    expect(await reads(facts(), facts(), facts({ allocatedBytes: 20n }))).toBe(1);
  });

  it.each([
    ['another file', { identity: '1:3' }],
    ['a later change', { modified: '1000.6' }],
    ['another size', { sizeBytes: 11n }],
    ['another format', { format: 'raw' }],
  ])('are read again: %s', async (_what, more) => {
    expect(await reads(facts(), { ...facts(), ...more })).toBe(2);
  });

  it('are read again as long as the file was changed just now: a second change may have the same time', async () => {
    const fresh = facts({ modified: String(Date.now() / 1000) });
    expect(await reads(fresh, fresh, fresh)).toBe(3);
  });

  it('are not kept when they cannot be read', async () => {
    const headers = new HeldHeaders();
    await expect(headers.of('/a', facts(), 'qcow2', () => Promise.reject(new Error('gone')))).rejects.toThrow('gone');
    expect(await headers.of('/a', facts(), 'qcow2', async () => info)).toBe(info);
  });
});
