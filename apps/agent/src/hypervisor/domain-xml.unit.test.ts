import { describe, expect, it } from '@jest/globals';
import { readDomain } from './domain-facts.js';
import {
  appendDisk,
  diskElementXml,
  diskSources,
  freeTarget,
  replaceDiskSources,
  setDomainName,
  snapshotXml,
  stripBackingStore,
  targetsWithBackingStore,
} from './domain-xml.js';
import { attribute, child, children, parseRoot } from './xml-tree.js';

const odd = `/pool/it's "a" <b> & c, d: $(x) \n\tjson:{"x"} ü.qcow2`;
const escaped = odd.replace(/[&<>'"\n\t]/g, (char) => `&#${char.codePointAt(0)};`);

const domain = `<domain type='kvm' id='7' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>it's "a" &lt;vm&gt; &amp; more</name>
  <uuid>6a9a1a5e-0000-4000-8000-000000000001</uuid>
  <!-- kept by hand -->
  <metadata><app:x xmlns:app='urn:x' kind='1'>&lt;y&gt;</app:x></metadata>
  <memory unit='GiB'>2</memory>
  <vcpu placement='static' current='2'>4</vcpu>
  <os><type>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF.fd</loader><nvram template='/t.fd'>/pool/nvram.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='${escaped}' index='3'/>
      <backingStore type='file' index='2'>
        <format type='qcow2'/><source file='/pool/mid.qcow2'/>
        <backingStore type='file' index='1'><format type='raw'/><source file='/pool/base'/><backingStore/></backingStore>
      </backingStore>
      <mirror type='file' job='active-commit'><format type='qcow2'/><source file='/pool/mid.qcow2'/></mirror>
      <target dev='vda' bus='virtio'/><serial>S-1</serial><alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/i'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/iso/x.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='file' device='disk'><source file='/pool/c.img'/><target dev='sdb' bus='scsi'/><address type='drive' controller='0' bus='0' target='0' unit='1'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices>
  <qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>
</domain>`;

describe('readDomain', () => {
  const facts = readDomain(domain);

  it('reads names and paths with any character in them', () => {
    expect(facts.name).toBe(`it's "a" <vm> & more`);
    expect(facts.disks[0]?.path).toBe(odd);
  });

  it('reads size, firmware store, TPM and guest agent', () => {
    expect(facts).toMatchObject({
      id: '7',
      vcpus: 2,
      memoryBytes: 2n << 30n,
      nvramPath: '/pool/nvram.fd',
      emulatedTpm: true,
      guestAgentConnected: true,
    });
    expect(readDomain(domain.replace(`type='emulator'`, `type='passthrough'`)).emulatedTpm).toBe(false);
  });

  it('lists hard disks with their chain, and leaves CD-ROM drives out', () => {
    expect(facts.disks.map((disk) => disk.target)).toEqual(['vda', 'vdb', 'sdb']);
    expect(facts.disks[0]).toMatchObject({
      serial: 'S-1',
      format: 'qcow2',
      listedBacking: [
        { path: '/pool/mid.qcow2', format: 'qcow2' },
        { path: '/pool/base', format: 'raw' },
      ],
      backingIsWhole: true,
      mirrorPath: '/pool/mid.qcow2',
      alias: 'virtio-disk0',
      unsupported: undefined,
    });
    expect(facts.disks[2]).toMatchObject({ format: 'raw', drive: ['0', '0', '0', '1'] });
    expect(facts.targets).toEqual(['vda', 'vdb', 'sda', 'sdb']);
  });

  it('names every file of the definition, for what must not be deleted', () => {
    expect([...facts.files].sort()).toEqual(
      [
        odd,
        '/pool/mid.qcow2',
        '/pool/mid.qcow2',
        '/pool/base',
        '/iso/x.iso',
        '/pool/c.img',
        '/pool/nvram.fd',
        '/usr/share/OVMF.fd',
      ].sort(),
    );
  });

  it.each([
    [`<disk type='network'><source protocol='nbd'/>`, /network disk \(nbd\)/],
    [`<disk type='block'><source dev='/dev/sdx'/>`, /block device/],
    [`<disk type='volume'><source pool='p' volume='v'/>`, /storage pool/],
    [`<disk type='file' device='lun'><source file='/x'/>`, /LUN/],
    [`<disk type='file'>`, /no file/],
    [`<disk type='file'><driver type='vmdk'/><source file='/x'/>`, /format vmdk/],
    [`<disk type='file'><source file='/x'/><shareable/>`, /shared/],
    [`<disk type='file'><source file='/x'/><transient/>`, /transient/],
    [`<disk type='file'><source file='/x'/><readonly/>`, /read-only/],
    [`<disk type='file'><source file='/x'><encryption format='luks'/></source>`, /encrypted/],
  ])('says why %s cannot be backed up, with a way out', (start, what) => {
    const [disk] = readDomain(`<domain><devices>${start}<target dev='vda'/></disk></devices></domain>`).disks;
    expect(disk?.unsupported?.what).toMatch(what);
    expect(disk?.unsupported?.wayOut).toMatch(/\.$/);
  });
});

describe('changes of a definition', () => {
  it('points a disk at another file, drops the old chain, and keeps all the rest', () => {
    const after = replaceDiskSources(domain, [{ target: 'vda', path: `${odd}2`, format: 'raw' }]);
    const [disk, ...others] = readDomain(after).disks;
    expect(disk).toMatchObject({ path: `${odd}2`, format: 'raw', listedBacking: [], mirrorPath: undefined, serial: 'S-1' });
    expect(others).toEqual(readDomain(domain).disks.slice(1));
    for (const kept of [`discard="unmap"`, 'kept by hand', 'xmlns:app="urn:x"', 'qemu:arg value="-foo"', '&lt;y&gt;'])
      expect(after).toContain(kept);
  });

  it('refuses to point a disk that is not there', () => {
    expect(() => replaceDiskSources(domain, [{ target: 'vdz', path: '/x', format: 'raw' }])).toThrow(/no disk vdz/);
  });

  it('strips listed backing files of the wanted disks only', () => {
    expect(readDomain(stripBackingStore(domain)).disks[0]?.listedBacking).toEqual([]);
    expect(readDomain(stripBackingStore(domain, ['vdb'])).disks[0]?.listedBacking).toHaveLength(2);
    expect(diskSources(stripBackingStore(domain)).get('vda')).toBe(odd);
  });

  it('adds a plain disk at a free target, and refuses a taken one', () => {
    const xml = appendDisk(domain, undefined, { target: 'vdq', path: odd, format: 'raw' });
    expect(readDomain(xml).disks.find((disk) => disk.target === 'vdq')).toMatchObject({
      bus: 'virtio',
      format: 'raw',
      path: odd,
    });
    expect(() => appendDisk(xml, undefined, { target: 'vdq', path: odd, format: 'raw' })).toThrow(/vdq is taken/);
  });

  it('brings a disk back with its options and without its old place', () => {
    const element = diskElementXml(domain, 'vda');
    const xml = appendDisk(domain, element, { target: 'vdc', path: '/pool/new', format: 'qcow2' });
    const disk = readDomain(xml).disks.find((one) => one.target === 'vdc');
    expect(disk).toMatchObject({ serial: 'S-1', path: '/pool/new', listedBacking: [], alias: undefined });
    expect(readDomain(xml).disks.find((one) => one.target === 'vda')?.path).toBe(odd);
  });

  it('finds the next free target, beyond z too', () => {
    expect(freeTarget(domain, 'vdq')).toBe('vdq');
    expect(freeTarget(domain, 'vda')).toBe('vdc');
    expect(freeTarget(domain, 'sda')).toBe('sdc');
    let xml = domain;
    for (let count = 0; count < 27; count += 1) {
      xml = appendDisk(xml, undefined, { target: freeTarget(xml, 'vda'), path: `/pool/${count}`, format: 'raw' });
    }
    expect(readDomain(xml).targets).toContain('vdac');
  });

  it('renames a domain', () => {
    expect(readDomain(setDomainName(domain, 'a <b> & "c"')).name).toBe('a <b> & "c"');
  });

  it('describes a snapshot of exactly the wanted disks', () => {
    const { root } = parseRoot(snapshotXml([{ target: 'vda', newPath: odd }], ['vda', 'vdb', 'sda']), 'domainsnapshot');
    const disks = children(child(root, 'disks'), 'disk');
    expect(
      disks.map((disk) => [attribute(disk, 'name'), attribute(disk, 'snapshot'), attribute(child(disk, 'source'), 'file')]),
    ).toEqual([
      ['vda', 'external', odd],
      ['vdb', 'no', undefined],
      ['sda', 'no', undefined],
    ]);
  });

  it('tells which disks have their chain written down', () => {
    expect(targetsWithBackingStore(domain)).toEqual(['vda']);
    expect(targetsWithBackingStore(stripBackingStore(domain, ['vda']))).toEqual([]);
  });
});
