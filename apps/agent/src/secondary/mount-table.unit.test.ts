import { describe, expect, it } from '@jest/globals';
import { parseMountInfo, readMounts } from './mount-table.js';

describe('mount table', () => {
  it('reads points, types and sources with any number of optional fields and escaped names', () => {
    const text = [
      '22 28 0:21 / /proc rw,relatime shared:12 - proc proc rw',
      '90 28 7:0 / /mnt/with\\040space\\134 rw shared:1 master:2 - ext4 /dev/loop0 rw',
      '91 28 0:50 / /mnt/nfs rw - nfs4 server:/export\\040one rw,vers=4.2',
      '',
    ].join('\n');
    expect(parseMountInfo(text)).toEqual([
      { mountPoint: '/proc', type: 'proc', source: 'proc' },
      { mountPoint: '/mnt/with space\\', type: 'ext4', source: '/dev/loop0' },
      { mountPoint: '/mnt/nfs', type: 'nfs4', source: 'server:/export one' },
    ]);
  });

  it('reads this host', async () => {
    expect((await readMounts()).map((mount) => mount.mountPoint)).toContain('/proc');
  });
});
