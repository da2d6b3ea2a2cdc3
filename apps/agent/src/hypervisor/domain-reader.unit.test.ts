import { describe, expect, it } from '@jest/globals';
import type { ToolResult, ToolRunner } from '../process/tool-runner.js';
import { DomainReader } from './domain-reader.js';
import { Virsh } from './virsh.js';

const running = '6a9a1a5e-0000-4000-8000-000000000001';
const stopped = '6a9a1a5e-0000-4000-8000-000000000002';
const unknown = '6a9a1a5e-0000-4000-8000-000000000003';
const noAnswer: ToolResult = { exitCode: 1, stdout: '', stderr: 'error: Disconnected from qemu:///system due to end of file' };

/** libvirt with a running and a stopped VM; virsh is as it is: it goes on after a failed command and exits with the last one's code. */
class Libvirt implements ToolRunner {
  processes = 0;
  /** Commands that fail in the first so many processes that hold one. */
  broken: { command: RegExp; times: number } | undefined;
  /** What the running VM's QEMU dies at. */
  diesAt: RegExp | undefined;
  private dead = false;

  async run(_tool: string, args: readonly string[]): Promise<ToolResult> {
    this.processes += 1;
    const words = args.slice(3);
    if (words.length > 1) return this.answer(words.join(' '), false);
    const commands = (words[0] ?? '').split('; ');
    const breaks = this.broken !== undefined && commands.some((command) => this.broken?.command.test(command));
    const fails = breaks && (this.broken?.times ?? 0) > 0;
    if (fails && this.broken) this.broken.times -= 1;
    const results = commands.map((command) => this.answer(command, fails));
    return { ...(results.at(-1) ?? noAnswer), stdout: results.map(({ stdout }) => stdout).join('') };
  }

  async must(): Promise<string> {
    throw new Error('is not used');
  }

  private answer(command: string, fails: boolean): ToolResult {
    if (fails && this.broken?.command.test(command)) return noAnswer;
    const [word = '', ...rest] = command.split(' ');
    const uuid = rest.find((one) => one === running || one === stopped);
    const ok = (stdout: string): ToolResult => ({ exitCode: 0, stdout: `${stdout}\n`, stderr: '' });
    if (word === 'echo') return ok(rest[1] ?? '');
    if (word === 'uri') return ok('qemu:///system');
    if (word === 'list') return ok(/with-snapshot|transient/.test(command) ? '' : `${running}\n${stopped}\n`);
    if (uuid === undefined) return noAnswer;
    if (this.diesAt?.test(command)) this.dead = true;
    const isRunning = uuid === running && !this.dead;
    if (word === 'domstats') return ok(`  state.state=${isRunning ? 1 : 5}\n  state.reason=1`);
    if (word === 'qemu-monitor-command') return isRunning ? ok('{"return":[]}') : noAnswer;
    const id = isRunning && !rest.includes('--inactive') ? ` id='1'` : '';
    return ok(`<domain type='kvm'${id}><name>vm</name><uuid>${uuid}</uuid><devices/></domain>`);
  }
}

function setUp(broken?: { command: RegExp; times: number }): { libvirt: Libvirt; reader: DomainReader } {
  const libvirt = new Libvirt();
  libvirt.broken = broken;
  return { libvirt, reader: new DomainReader(new Virsh(libvirt, 'qemu:///system')) };
}

describe('domains that libvirt is asked for', () => {
  it('are read in one process', async () => {
    const { libvirt, reader } = setUp();
    expect(await reader.known(running)).toMatchObject({ current: { uuid: running }, persistent: { uuid: running }, qemu: [] });
    expect(libvirt.processes).toBe(1);
    expect(await reader.known(stopped)).toMatchObject({ current: { uuid: stopped }, qemu: undefined });
    expect(libvirt.processes).toBe(2);
  });

  it('are not there when libvirt lists others alone', async () => {
    const { libvirt, reader } = setUp();
    expect(await reader.known(unknown)).toBeUndefined();
    expect(libvirt.processes).toBe(1);
  });

  it('are asked for again when their lists failed', async () => {
    for (const command of [/^list/, /^list --all --uuid/, /^list --all --persistent/, /^(list|dom|dump)/]) {
      const { reader } = setUp({ command, times: 1 });
      expect(await reader.definition(running)).toMatchObject({ persistent: { uuid: running } });
      const all = setUp({ command, times: 1 }).reader;
      expect([...(await all.knownAll()).keys()]).toEqual([stopped, running]);
      const list = setUp({ command, times: 1 }).reader;
      expect([...(await list.list()).persistent]).toEqual([running, stopped]);
    }
  });

  it('are asked for again when they were listed and did not answer', async () => {
    for (const command of [/^domstats/, /^dumpxml --domain/, /^dumpxml --inactive/]) {
      const { reader } = setUp({ command, times: 1 });
      expect(await reader.definition(running)).toMatchObject({ current: { uuid: running } });
      const all = setUp({ command, times: 1 }).reader;
      expect([...(await all.knownAll()).keys()].sort()).toEqual([running, stopped]);
    }
  });

  it('are off when their QEMU dies between two questions', async () => {
    for (const diesAt of [/^dumpxml --domain/, /^dumpxml --inactive/, /^qemu-monitor-command/]) {
      const { libvirt, reader } = setUp();
      libvirt.diesAt = diesAt;
      const off = { current: { uuid: running, id: undefined }, state: { state: 5 }, qemu: undefined };
      expect(await reader.known(running)).toMatchObject(off);
      const among = setUp();
      among.libvirt.diesAt = diesAt;
      expect((await among.reader.knownAll()).get(running)).toMatchObject(off);
    }
  });

  it('are never taken for gone by lists that go on failing', async () => {
    const broken = { command: /^list/, times: Infinity };
    const failure = expect.objectContaining({ code: 'TOOL_FAILED' });
    await expect(setUp(broken).reader.known(running)).rejects.toEqual(failure);
    await expect(setUp(broken).reader.knownAll()).rejects.toEqual(failure);
    await expect(setUp(broken).reader.list()).rejects.toEqual(failure);
  });
});
