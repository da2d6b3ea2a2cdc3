import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ToolCall, ToolResult, ToolRunner } from '../process/tool-runner.js';
import { describeHelpers } from './mount-helpers.js';
import { Mounter } from './mounter.js';

const storage = { id: 'b7', name: 'nas', type: 'nfs4', source: 'nas.example:/backup', options: '' };

describe('mounting', () => {
  let base: string;
  let empty: string;
  let full: string;
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'holdfast-helpers-'));
    [empty, full] = [join(base, 'empty'), join(base, 'full')];
    await mkdir(empty);
    await mkdir(full);
    for (const name of ['mount.nfs4', 'mount.cifs']) await writeFile(join(full, name), '', { mode: 0o755 });
  });
  afterEach(() => rm(base, { recursive: true, force: true }));

  /** What mounting ends with, when mount(8) says what it is told to say here. */
  async function mount(type: string, answer: Partial<ToolResult>): Promise<unknown> {
    const run = async (): Promise<ToolResult> => ({ exitCode: 32, stdout: '', stderr: 'no such host\n', ...answer });
    const tools: ToolRunner = { run, must: async () => '' };
    return new Mounter(tools, [empty, full]).mount({ ...storage, type }, join(base, 'mnt')).catch((thrown: unknown) => thrown);
  }

  it('names the package of a helper that is missing when mount(8) refuses', async () => {
    for (const [type, inPackage] of [
      ['nfs', 'nfs-common'],
      ['ceph', 'ceph-common'],
    ] as const) {
      expect(await mount(type, {})).toMatchObject({
        code: 'STORAGE_MISSING',
        message:
          `Storage "nas" (${type} nas.example:/backup) cannot be mounted on this host, which has no mount.${type}: ` +
          `install the package ${inPackage} there. mount said: no such host`,
        fields: { storageId: 'b7', helper: `mount.${type}`, package: inPackage },
      });
    }
  });

  it('speaks of no package when the helper is there or the type has none, whatever mount(8) says', async () => {
    const stderr = 'bad option; for several filesystems you might need a /sbin/mount.<type> helper program.';
    for (const type of ['nfs4', 'cifs', 'ext4']) {
      expect(await mount(type, { stderr })).toMatchObject({
        code: 'STORAGE_MISSING',
        message: `Storage "nas" (${type} nas.example:/backup) cannot be mounted on this host: ${stderr}`,
        fields: { storageId: 'b7', source: 'nas.example:/backup', stderr },
      });
    }
  });

  it('refuses nothing that mount(8) can do without a helper', async () => {
    expect(await mount('ceph', { exitCode: 0, stderr: '' })).toBeUndefined();
  });

  it.each([
    ['nfs', 'nas.example:/backup', '', 'nosuid,nodev,noexec'],
    ['nfs4', '[fd00::1]:/backup', 'vers=4.2,hard,timeo=600', 'nosuid,nodev,noexec,vers=4.2,hard,timeo=600'],
    ['cifs', '//nas.example/back up', 'username=b,password=a b$(id)', 'nosuid,nodev,noexec,username=b,password=a b$(id)'],
    ['ceph', 'mon1:6789,mon2:6789:/backup', 'name=holdfast,secret=x==', 'nosuid,nodev,noexec,name=holdfast,secret=x=='],
    ['ext4', '/dev/disk/by-uuid/b7', 'noatime,exec', 'nosuid,nodev,noexec,noatime,exec'],
    // What looks like an option is no option.
    ['ext4', '-o suid', '', 'nosuid,nodev,noexec'],
  ])('mounts %s %s by one call: type, our options before its own, source, mount point', async (type, source, options, given) => {
    const calls: { tool: string; args: readonly string[]; call: ToolCall }[] = [];
    const run = async (tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> => {
      calls.push({ tool, args, call });
      return { exitCode: 0, stdout: '', stderr: '' };
    };
    await new Mounter({ run, must: async () => '' }, [full]).mount({ ...storage, type, source, options }, '/mounts/b7');
    expect(calls).toEqual([
      { tool: 'mount', args: ['-t', type, '-o', given, '--', source, '/mounts/b7'], call: { deadlineMs: 120_000 } },
    ]);
  });

  it('calls a server that does not answer a mount a hanging storage', async () => {
    const run = (): Promise<ToolResult> => Promise.reject(new HoldfastError('TIMED_OUT', 'late', { tool: 'mount' }));
    await expect(new Mounter({ run, must: async () => '' }, [full]).mount(storage, '/mounts/b7')).rejects.toMatchObject({
      code: 'STORAGE_HANGING',
      message: 'Storage "nas" (nas.example:/backup) does not answer a mount within 120 s.',
      fields: { storageId: 'b7', source: 'nas.example:/backup' },
    });
  });

  it('tells of each helper whether it is here', async () => {
    expect(await describeHelpers([empty, full])).toEqual([
      'mount.nfs4 is here, for storages of type nfs4.',
      'mount.nfs is not here; storages of type nfs, if there are any, want the package nfs-common.',
      'mount.cifs is here, for storages of type cifs.',
      'mount.ceph is not here; storages of type ceph, if there are any, want the package ceph-common.',
    ]);
  });
});
