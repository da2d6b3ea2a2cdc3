/** Looks at files through a process that stays: the compiled one, on a storage that hangs, and after its death. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CertainLooks } from '../../apps/agent/src/looks/certain-looks.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import type { FileLooks } from '../../apps/agent/src/looks/file-looks.js';
import { KeptFileLooks } from '../../apps/agent/src/looks/kept-file-looks.js';
import { looksConformance } from '../../apps/agent/src/looks/looks-conformance.js';
import { repositoryRoot } from '../system/repository.js';
import { run, tryRun } from '../testbed/command.js';
import { TestStorage } from '../testbed/test-storage.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CountingRunner, silentLog } from './rig.js';

const program = join(repositoryRoot, 'apps/agent/dist/looks/kept-looks-main.js');
const made: KeptFileLooks[] = [];

/** `tools` counts what was asked in a process of its own. */
function open(patienceMs = 10_000): { looks: KeptFileLooks; tools: CountingRunner } {
  const tools = new CountingRunner();
  const looks = new KeptFileLooks({ program, otherwise: new ChildFileLooks(tools), log: silentLog, patienceMs });
  made.push(looks);
  return { looks, tools };
}
/** Only this test's own: agents of other tests have theirs. */
const pids = async (): Promise<number[]> =>
  (await tryRun(['pgrep', '-P', String(process.pid), '-f', program])).stdout.split('\n').filter(Boolean).map(Number);

afterEach(async () => {
  made.splice(0).forEach((looks) => looks.close());
  await waitUntil('no process looks at files any more', async () => (await pids()).length === 0);
});

describe('KeptFileLooks', () => {
  looksConformance(() => made[0] ?? open().looks, { dangling: true });

  it('asks one process for everything, and starts no other', async () => {
    const { looks, tools } = open();
    for (const path of ['/etc/passwd', '/etc', '/etc/no-such-file']) {
      await looks.facts([path]);
      await looks.isAbsent(path);
      await looks.realPaths([path]);
    }
    expect(await looks.text('/etc/hostname', 1_000)).toBe(await readFile('/etc/hostname', 'utf8'));
    await looks.space('/etc');
    expect(tools.calls).toEqual([]);
    expect(await pids()).toHaveLength(1);
  });

  it('leaves what is not certain to a process of its own, and its error', async () => {
    const { looks, tools } = open();
    await expect(looks.text('/etc', 10)).rejects.toMatchObject({ code: 'TOOL_FAILED', fields: { tool: 'head', path: '/etc' } });
    await expect(looks.facts(['relative'])).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    expect(tools.calls.map(([tool]) => tool)).toContain('head');
  });

  it('answers also when that process is killed while it is asked, and is asked again later', async () => {
    const { looks, tools } = open();
    await looks.facts(['/etc']);
    const [pid = 0] = await pids();
    process.kill(pid, 'SIGSTOP');
    const asked = Promise.all(['/etc', '/usr'].map((path) => looks.facts([path])));
    process.kill(pid, 'SIGKILL');
    expect((await asked).map(({ size }) => size)).toEqual([1, 1]);
    expect((await looks.facts(['/etc'])).size).toBe(1);
    // Not at once: whatever killed it may do so again.
    expect(tools.calls.map(([tool]) => tool)).toEqual(['find', 'find', 'find']);
    await waitUntil('it is asked again', async () => {
      const before = tools.calls.length;
      await looks.facts(['/etc']);
      return tools.calls.length === before;
    });
  });
});

describe('a storage that hangs', () => {
  let media: TestStorage;
  beforeAll(async () => {
    media = await TestStorage.create({ name: 'kept-looks', kind: 'slow', sizeMiB: 64 });
    await run(['mkdir', join(media.path, 'folder')]);
  });
  afterAll(async () => {
    await media?.resume().catch(() => undefined);
    await media?.destroy();
  });

  it('keeps nobody else waiting, and whoever asks about it is answered by a process with a deadline', async () => {
    let asked = 0;
    const otherwise = new Proxy(new CertainLooks() as FileLooks, {
      get: () => async () => {
        asked += 1;
        throw new Error('the other way');
      },
    });
    const looks = new KeptFileLooks({ program, otherwise, log: silentLog, patienceMs: 500 });
    made.push(looks);
    // It is up, and has looked at nothing that hangs.
    await waitUntil('it answers', async () => (await looks.facts(['/etc']).catch(() => undefined)) !== undefined);
    const before = asked;
    await media.hang();
    const lost = await Promise.allSettled(Array.from({ length: 8 }, () => looks.names(join(media.path, 'folder'))));
    expect(lost.map(({ status }) => status)).toEqual(lost.map(() => 'rejected'));
    expect(asked - before).toBe(8);
    expect((await looks.facts(['/usr'])).size).toBe(1);
    // More of it hang than it may have: nobody waits for it in vain any more.
    await Promise.allSettled(Array.from({ length: 8 }, () => looks.names(join(media.path, 'folder'))));
    await expect(looks.facts(['/usr'])).rejects.toThrow('the other way');
    await media.resume();
    await waitUntil('it answers again', async () => (await looks.facts(['/usr']).catch(() => undefined)) !== undefined);
    expect(await looks.names(join(media.path, 'folder'))).toEqual([]);
  });
});
