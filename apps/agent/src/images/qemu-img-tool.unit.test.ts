import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../logging/silent-log.js';
import { ExecaToolRunner } from '../process/execa-tool-runner.js';
import type { ToolRunner } from '../process/tool-runner.js';
import { ChildFileLooks } from '../looks/child-file-looks.js';
import { QemuImgTool } from './qemu-img-tool.js';

describe('QemuImgTool, where a file does not answer', () => {
  let base: string;
  let images: QemuImgTool;
  const path = (name: string) => join(base, 'pool', name);
  /** What can be said nothing of, as with EIO or a stale handle: exit 1 and silence, as for an absent file. */
  const stale = new Set<string>();
  const silence = { stdout: '', stderr: '', exitCode: 1 };
  const real = new ExecaToolRunner(silentLog);
  const tools: ToolRunner = {
    must: (tool, args, call) => real.must(tool, args, call),
    run: async (tool, args, call) => {
      const seen = args.filter((arg) => !stale.has(arg));
      if (tool === 'qemu-img') return seen.includes(path('a')) ? { ...silence, stdout: '{}', exitCode: 0 } : silence;
      // Where a name leads is known without asking the file.
      if (seen.length === args.length || tool === 'realpath') return real.run(tool, args, call);
      return seen.some((arg) => arg.startsWith('/')) ? { ...(await real.run(tool, seen, call)), exitCode: 1 } : silence;
    },
  };
  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'holdfast-images-'));
    images = new QemuImgTool({ tools, looks: new ChildFileLooks(tools), log: silentLog });
    await mkdir(join(base, 'pool'));
    await writeFile(join(base, 'pool', 'a'), '');
    await writeFile(join(base, 'pool', 'b'), '');
  });
  afterEach(async () => {
    stale.clear();
    await rm(base, { recursive: true, force: true });
  });
  const failed = (name: string) => expect.objectContaining({ code: 'TOOL_FAILED', fields: { tool: 'find', path: path(name) } });

  it('leaves out files that are not there, and fails for one that may be', async () => {
    expect([...(await images.places([path('a'), path('gone'), join(base, 'no', 'pool', 'x')])).keys()]).toEqual([path('a')]);
    stale.add(path('b'));
    await expect(images.places([path('a'), path('b')])).rejects.toEqual(failed('b'));
    stale.add(join(base, 'pool'));
    await expect(images.places([path('a'), path('gone')])).rejects.toEqual(failed('gone'));
  });

  it('calls no image missing that may be there', async () => {
    await expect(images.info(path('gone'), 'qcow2')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(await images.chains([{ path: path('gone'), format: 'raw' }], [base])).toMatchObject([
      { code: 'BACKING_FILE_MISSING' },
    ]);
    stale.add(path('b'));
    await expect(images.info(path('b'), 'qcow2')).rejects.toEqual(failed('b'));
    const [one, other] = await images.chains(
      [path('a'), path('b')].map((file) => ({ path: file, format: 'raw' as const })),
      [base],
    );
    expect(one).toMatchObject([{ path: path('a') }]);
    expect(other).toEqual(failed('b'));
  });
});
