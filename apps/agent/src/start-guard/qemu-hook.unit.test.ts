/** The hook script itself, run by /bin/sh as libvirt runs it, on definitions as libvirt prints them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execa } from 'execa';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printPairs } from './guard-record.js';
import { hookText, installHook, removeHook } from './hook-file.js';

const UUID = '8d1c0f4e-2f0a-4c7e-9c5b-0123456789ab';
const escaped = (text: string): string =>
  text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&apos;');

const disk = (source: string, more = '', device = 'disk'): string => `    <disk type='file' device='${device}'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='${escaped(source)}' index='1'/>
      <backingStore type='file' index='3'>
        <format type='qcow2'/>
        <source file='/somewhere/below'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
${more}      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
`;

const domain = (disks: string, metadata = ''): string => `<domain type='kvm' id='7'>
  <name>a &quot;name&quot; &amp; more</name>
  <uuid>${UUID}</uuid>
  <metadata>
${metadata}  </metadata>
  <memory unit='KiB'>262144</memory>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
${disks}    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/sdb'/>
      <target dev='vdz' bus='virtio'/>
    </disk>
    <controller type='usb' index='0' model='qemu-xhci'/>
  </devices>
</domain>
`;

describe('the libvirt hook', () => {
  let dir: string;
  let state: string;
  let right: string;
  let stale: string;
  const record = (text: string): Promise<void> => writeFile(join(state, UUID), text);
  const run = async (xml: string, ...words: string[]): Promise<{ allowed: boolean; said: string }> => {
    const args = words.length > 0 ? words : ['vm-1', 'prepare', 'begin', '-'];
    const { exitCode, stderr, stdout } = await execa(join(dir, 'hooks/qemu.d/holdfast'), args, { input: xml, reject: false });
    expect(stdout).toBe('');
    expect([0, 1]).toContain(exitCode);
    return { allowed: exitCode === 0, said: stderr };
  };
  const refusal = { allowed: false };
  const allowance = { allowed: true, said: '' };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "holdfast hook's "));
    state = join(dir, 'state', 'hook');
    await mkdir(state, { recursive: true });
    await mkdir(join(dir, 'linked'));
    right = join(dir, `vol & "<x>' $(id) \\n.hf.qcow2`);
    stale = join(dir, `vol & "<x>' $(id) \\n.qcow2`);
    for (const file of [right, stale]) await writeFile(file, '');
    await symlink(stale, join(dir, 'linked', 'other-name'));
    await installHook(join(dir, 'hooks'), join(dir, 'state'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('is installed once, executable, and quietly repeated', async () => {
    const { path } = await installHook(join(dir, 'again'), join(dir, 'state'));
    expect((await stat(path)).mode & 0o777).toBe(0o755);
    expect(await installHook(join(dir, 'again'), join(dir, 'state'))).toEqual({ path, fresh: false });
    expect((await installHook(join(dir, 'again'), '/other')).fresh).toBe(false);
    expect(await readFile(path, 'utf8')).toContain("state='/other/hook'");
    await removeHook(join(dir, 'again'));
    await removeHook(join(dir, 'again'));
    await expect(stat(path)).rejects.toThrow();
  });

  it('refuses a stale disk, and names both files and the way out', async () => {
    await record(printPairs([[stale, right]]));
    const { allowed, said } = await run(domain(disk('/p/first') + disk(stale)));
    expect(allowed).toBe(false);
    expect(said).toContain(`the disk ${stale} of the VM is stale, its newest data is in ${right}`);
    expect(said).toContain('virsh edit vm-1');
  });

  it('goes by what was told of the VM elsewhere as well: by that first, and by the first right file that exists', async () => {
    const told = join(state, `${UUID}.elsewhere`);
    const newer = join(dir, 'newer.hf.qcow2');
    await record(printPairs([[stale, right]]));
    await writeFile(told, printPairs([[stale, newer]]));
    expect((await run(domain(disk(stale)))).said).toContain(`its newest data is in ${right},`);
    await writeFile(newer, '');
    expect((await run(domain(disk(stale)))).said).toContain(`its newest data is in ${newer},`);
    await rm(join(state, UUID));
    expect((await run(domain(disk(stale)))).said).toContain(`its newest data is in ${newer},`);
    expect(await run(domain(disk(newer)))).toEqual(allowance);
    await writeFile(
      told,
      printPairs([
        [stale, join(dir, 'planned')],
        [stale, right],
      ]),
    );
    expect((await run(domain(disk(stale)))).said).toContain(`its newest data is in ${right},`);
    await writeFile(told, 'rubbish');
    expect(await run(domain(disk(stale)))).toEqual(allowance);
    await rm(told);
  });

  it('knows the stale file by another name, too', async () => {
    await record(printPairs([[stale, right]]));
    expect(await run(domain(disk(join(dir, 'linked', 'other-name'))))).toMatchObject(refusal);
  });

  it('understands other quotes, other spacing and comments', async () => {
    await record(printPairs([['/etc/hostname', '/etc/passwd']]));
    const odd = `<?xml version="1.0"?><!-- <uuid>x</uuid> --><domain><uuid> ${UUID.toUpperCase()} </uuid><devices><disk
      type="file"><source
        file = "/etc/hostname"  /></disk></devices></domain>`;
    expect(await run(odd)).toMatchObject(refusal);
    expect(await run(odd.replaceAll('"', "'"))).toMatchObject(refusal);
  });

  it.each<[string, () => string]>([
    ['the right disk', () => domain(disk(right))],
    ['a file that it never heard of, over the stale one', () => domain(disk(join(dir, 'new')))],
    ['a CD-ROM from the stale file', () => domain(disk(stale, '      <readonly/>\n', 'cdrom'))],
    ['text in metadata that looks like a disk', () => domain('', `<devices>${disk(stale)}</devices><!-- ${disk(stale)}`) + '-->'],
    ['a comment that looks like a disk', () => domain(`<!-- ${disk(stale)} -->`)],
    ['CDATA that looks like a disk', () => domain('', `<x><![CDATA[</x></metadata><devices>${disk(stale)}]]></x>`)],
    ['another VM', () => domain(disk(stale)).replace(UUID, '00000000-0000-4000-8000-000000000000')],
    ['no definition', () => ''],
    ['a definition without an end', () => domain(disk(stale)).slice(0, 300)],
    ['a UUID that leads elsewhere', () => domain(disk(stale)).replace(UUID, '../../etc/passwd')],
  ])('allows %s', async (_name, xml) => {
    await record(printPairs([[stale, right]]));
    expect(await run(xml())).toEqual(allowance);
  });

  it('allows everything but the beginning of a start', async () => {
    await record(printPairs([[stale, right]]));
    for (const words of [
      ['start', 'begin'],
      ['prepare', 'end'],
      ['stopped', 'end'],
      ['migrate', 'begin'],
      ['reconnect', 'begin'],
    ])
      expect(await run(domain(disk(stale)), 'vm-1', ...words, '-')).toEqual(allowance);
    expect(await run('', 'vm-1')).toEqual(allowance);
  });

  it.each<[string, () => string]>([
    ['the right file is gone', () => printPairs([[stale, join(dir, 'gone')]])],
    ['the record is of another version', () => printPairs([[stale, right]]).replace(' 1\n', ' 2\n')],
    ['the record is rubbish', () => `\0\0rubbish\nlayer\t${stale}\t${right}\n`],
    ['the record is empty', () => ''],
    ['the record is cut off', () => `holdfast-start-guard 1\nlayer\t${stale}\n`],
  ])('allows a start when %s', async (_name, text) => {
    await record(text());
    expect(await run(domain(disk(stale)))).toEqual(allowance);
  });

  it('allows a start without a record, and without any state', async () => {
    await rm(join(state, UUID), { force: true });
    expect(await run(domain(disk(stale)))).toEqual(allowance);
    await mkdir(join(state, UUID));
    expect(await run(domain(disk(stale)))).toEqual(allowance);
    await rm(join(state, UUID), { recursive: true });
    const alone = join(dir, 'alone');
    await writeFile(alone, await hookText(join(dir, 'no state')));
    await chmod(alone, 0o755);
    expect((await execa(alone, ['vm-1', 'prepare', 'begin', '-'], { input: domain(disk(stale)), reject: false })).exitCode).toBe(
      0,
    );
  });

  it('refuses every start between two states of a definition, and passes on why', async () => {
    const mark = join(state, `${UUID}.switching`);
    await writeFile(mark, 'the operation\nIt is being restored (operation x).\n');
    const { allowed, said } = await run(domain(disk('/p/whatever')));
    expect(allowed).toBe(false);
    expect(said).toMatch(/^It is being restored \(operation x\)\.\nIf Holdfast is gone for good, .*remove .*\.switching/);
    await rm(mark);
    expect(await run(domain(disk('/p/whatever')))).toEqual(allowance);
  });
});
