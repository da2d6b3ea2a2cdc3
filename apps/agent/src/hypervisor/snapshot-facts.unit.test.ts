import { describe, expect, it } from '@jest/globals';
import { readSnapshot } from './snapshot-facts.js';

const domain = `<domain><name>vm</name><uuid>u</uuid><devices>
  <disk type='file' device='disk'><driver type='qcow2'/><source file='/p/a &amp; b.qcow2'/><target dev='vda' bus='virtio'/></disk>
  <disk type='file' device='disk'><driver type='raw'/><source file='/p/c.raw'/><target dev='vdb' bus='virtio'/></disk>
  <disk type='network' device='disk'><driver type='raw'/><source protocol='nbd'/><target dev='vdc' bus='virtio'/></disk>
</devices></domain>`;
const record = (memory: string, disks: string, more = '') =>
  `<domainsnapshot><name>one</name><creationTime>1700000000</creationTime>${more}<memory snapshot='${memory}'/>${disks}${domain}</domainsnapshot>`;
const external = (target: string, file: string) =>
  `<disk name='${target}' snapshot='external' type='file'><driver type='qcow2'/><source file='${file}'/></disk>`;

describe("libvirt's record of a snapshot", () => {
  it('names the layer that holds the content and the overlay on it', () => {
    const disks = `<disks>${external('vda', '/p/o.qcow2')}${external('vdb', '/p/q.qcow2')}<disk name='vdc' snapshot='no'/></disks>`;
    expect(readSnapshot(record('no', disks, '<parent><name>zero</name></parent>'), true)).toEqual({
      name: 'one',
      parentName: 'zero',
      createdAtUnixMs: 1_700_000_000_000,
      current: true,
      foreignKind: false,
      disks: [
        { target: 'vda', pinnedPath: '/p/a & b.qcow2', pinnedFormat: 'qcow2', overlayPath: '/p/o.qcow2' },
        { target: 'vdb', pinnedPath: '/p/c.raw', pinnedFormat: 'raw', overlayPath: '/p/q.qcow2' },
      ],
    });
  });

  it.each<[string, string, string, string[], boolean]>([
    [
      'a disk that was left out',
      'no',
      `<disks>${external('vda', '/p/o')}<disk name='vdb' snapshot='no'/></disks>`,
      ['vda'],
      false,
    ],
    ['memory in a file', 'external', `<disks>${external('vda', '/p/o')}</disks>`, ['vda'], true],
    ['kept inside the image', 'internal', `<disks><disk name='vda' snapshot='internal'/></disks>`, ['vda'], true],
    ['an old record without a list', 'internal', '', ['vda', 'vdb'], true],
  ])('%s', (_case, memory, disks, targets, foreignKind) => {
    const snapshot = readSnapshot(record(memory, disks), false);
    expect(snapshot.disks.map((disk) => disk.target)).toEqual(targets);
    expect(snapshot).toMatchObject({ foreignKind, current: false, parentName: undefined });
  });
});
