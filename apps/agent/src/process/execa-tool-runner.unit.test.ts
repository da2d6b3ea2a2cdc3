import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../logging/silent-log.js';
import { ExecaToolRunner } from './execa-tool-runner.js';

const tools = new ExecaToolRunner(silentLog);
const LONG = 60_000;

/** True while the process runs; a zombie counts as dead. */
function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('ExecaToolRunner', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-tools-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('gives exit code, stdout and stderr, and passes arguments untouched', async () => {
    const result = await tools.run('sh', ['-c', 'printf "%s" "$1"; echo bad >&2; exit 3', 'sh', 'a "b" $HOME\nc'], {
      deadlineMs: LONG,
    });
    expect(result).toEqual({ exitCode: 3, stdout: 'a "b" $HOME\nc', stderr: 'bad\n' });
  });

  it('speaks the C locale to its children and gives them input', async () => {
    expect(await tools.must('sh', ['-c', 'echo $LC_ALL; cat'], { deadlineMs: LONG, input: 'héllo' })).toBe('C\nhéllo');
  });

  it('throws TOOL_FAILED with the end of stderr when success was demanded', async () => {
    await expect(tools.must('sh', ['-c', 'echo reason >&2; exit 7'], { deadlineMs: LONG })).rejects.toMatchObject({
      code: 'TOOL_FAILED',
      fields: { tool: 'sh', exitCode: '7', stderr: 'reason' },
    });
  });

  it('names a tool that is not installed', async () => {
    await expect(tools.run('holdfast-no-such-tool', [], { deadlineMs: LONG })).rejects.toMatchObject({
      code: 'CONFIGURATION_INVALID',
      fields: { tool: 'holdfast-no-such-tool' },
    });
  });

  it('reports output while the child runs', async () => {
    const pieces: string[] = [];
    const stop = new AbortController();
    const running = tools.run('sh', ['-c', 'echo one; exec sleep 1000'], {
      deadlineMs: LONG,
      signal: stop.signal,
      onStdout: (text) => {
        pieces.push(text);
        stop.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(pieces).toEqual(['one\n']);
  });

  it('kills the whole group at the deadline, grandchildren that hold stdout too', async () => {
    const call = tools.run('sh', ['-c', `sleep 1000 & echo $! > ${dir}/pid; sleep 1000`], { deadlineMs: 300 });
    await expect(call).rejects.toMatchObject({ code: 'TIMED_OUT' });
    const grandchild = Number(await readFile(join(dir, 'pid'), 'utf8'));
    await until(() => !alive(grandchild));
  });

  it('does not wait for a process of another group that keeps its output open', async () => {
    const call = tools.run('sh', ['-c', `setsid sh -c 'echo $$ > ${dir}/pid; exec sleep 1000' & exec sleep 1000`], {
      deadlineMs: 500,
    });
    await expect(call).rejects.toMatchObject({ code: 'TIMED_OUT' });
    process.kill(Number(await readFile(join(dir, 'pid'), 'utf8')), 'SIGKILL');
  });

  it('ends with the child although something that it left behind holds its output', async () => {
    const result = await tools.run('sh', ['-c', `sleep 1000 & echo $!`], { deadlineMs: LONG });
    expect(result.exitCode).toBe(0);
    const left = Number(result.stdout);
    await until(() => !alive(left));
  });

  it('tells a kill from outside from a failure', async () => {
    await expect(tools.run('sh', ['-c', 'kill -9 $$'], { deadlineMs: LONG })).rejects.toMatchObject({
      code: 'INTERRUPTED',
      fields: { signal: 'SIGKILL' },
    });
  });

  it('starts nothing when the work is cancelled already', async () => {
    await expect(
      tools.run('touch', [join(dir, 'made')], { deadlineMs: LONG, signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    await expect(readFile(join(dir, 'made'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
