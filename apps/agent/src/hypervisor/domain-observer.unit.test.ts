/** Disks whose file name libvirt loses: refused by name, in every way of looking, and never opened. */
import { describe, expect, it } from '@jest/globals';
import type { ImageTool } from '../images/image-tool.js';
import type { FileLooks } from '../looks/file-looks.js';
import { readDomain } from './domain-facts.js';
import type { DomainReader } from './domain-reader.js';
import { DomainObserver } from './domain-observer.js';
import type { Known } from './observe.js';
import { readQemuDisks } from './qemu-block.js';
import type { QemuProcesses } from './qemu-processes.js';

const VM = '11111111-1111-4111-8111-111111111111';
const disk = (path: string): string =>
  `<disk type='file' device='disk'><driver type='qcow2'/><source file='${path}'/><target dev='vda' bus='virtio'/><alias name='virtio-disk0'/></disk>`;
const domain = (path: string) =>
  readDomain(`<domain id='1'><name>web</name><uuid>${VM}</uuid><devices>${disk(path)}</devices></domain>`);

/** A VM whose disk has this name for libvirt; `open`: it runs, and QEMU has these open. */
function observer(path: string, open?: { name: string; backing?: string }) {
  const image = open && {
    filename: open.name,
    format: 'qcow2',
    ...(open.backing === undefined ? {} : { 'backing-image': { filename: open.backing, format: 'qcow2' } }),
  };
  const known: Known = {
    current: domain(path),
    persistent: domain(path),
    qemu: image && readQemuDisks([{ qdev: '/machine/peripheral/virtio-disk0/virtio-backend', inserted: { image } }]),
    state: { state: open === undefined ? 5 : 1, reason: 1 },
    snapshots: [],
  };
  const read: string[] = [];
  const images = {
    async chains(wishes: readonly { path: string }[]) {
      read.push(...wishes.map((wish) => wish.path));
      return wishes.map(() => []);
    },
  };
  const looks: Pick<FileLooks, 'facts' | 'realPaths'> = {
    facts: async () => new Map(),
    // There are no links.
    realPaths: async (paths) => [...paths],
  };
  const made = new DomainObserver({
    looks: looks as FileLooks,
    images: images as unknown as ImageTool,
    reader: { known: async () => known, knownAll: async () => new Map([[VM, known]]) } as unknown as DomainReader,
    processes: { list: async () => new Map() } as unknown as QemuProcesses,
    allowedRoots: () => ['/p'],
  });
  return { made, read };
}

describe('a disk whose file name libvirt loses', () => {
  it.each([
    ['a line break, of a stopped VM', '/p/a&#10;b', undefined],
    ['a tab, of a stopped VM', '/p/a&#9;b', undefined],
    ['a line break, of a running VM whose libvirt says a space', '/p/a b', { name: '/p/a\nb' }],
    ['a line break in a layer below', '/p/top', { name: '/p/top', backing: '/p/a\nb' }],
  ])('%s: is refused with its name, and not read', async (_what, path, open) => {
    const { made, read } = observer(path, open);
    for (const seen of [await made.observe(VM), ...(await made.observeAll())]) {
      const refusal = seen?.disks[0]?.refusal;
      expect(refusal).toMatchObject({ code: 'DISK_UNSUPPORTED', fields: { vmId: VM, target: 'vda' } });
      expect(refusal?.message).toContain('line break or tab');
      expect(refusal?.message).toMatch(/\/p\/a\\[nt]b/);
      expect(seen?.disks[0]?.layers).toEqual([]);
    }
    expect(read).toEqual([]);
  });
});
