/** Questions to a kept virsh, with a real libvirtd that goes and comes. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { Virsh } from '../../apps/agent/src/hypervisor/virsh.js';
import { VirshSessions } from '../../apps/agent/src/hypervisor/virsh-sessions.js';
import { tryRun } from '../testbed/command.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { CountingRunner, silentLog } from './rig.js';

const LONG_MS = 20_000;
let host: TestHost;
let vm: TestVm;

beforeAll(async () => {
  host = await TestHost.create({ name: 'virsh-sessions' });
  vm = await TestVm.define(host, { name: `a "b" 'c' ; $(id)`, disks: [{ target: 'vda', sizeMiB: 1 }] });
});
afterAll(async () => {
  await host?.destroy();
});

const open = () => new VirshSessions({ uri: host.uri, log: silentLog });
/** Ids of the virsh processes that this process has started and that live. */
const children = async (): Promise<number[]> =>
  (await tryRun(['pgrep', '-P', String(process.pid), '-x', 'virsh'])).stdout.split('\n').filter(Boolean).map(Number);
/** Sessions of which one is open, and the id of its process. */
const openOne = async (): Promise<{ sessions: VirshSessions; pid: number }> => {
  const before = await children();
  const sessions = open();
  await sessions.ask([], LONG_MS);
  const [pid = 0] = (await children()).filter((one) => !before.includes(one));
  return { sessions, pid };
};

describe('a kept virsh', () => {
  it('says what one that is started for it says, and starts no other', async () => {
    const tools = new CountingRunner();
    const [alone, together] = [new Virsh(tools, host.uri), new Virsh(tools, host.uri, open())];
    const questions = [
      `domstats --raw --state --nowait --domain ${vm.uuid}`,
      `dumpxml --domain ${vm.uuid}`,
      `dumpxml --domain ${randomUUID()}`,
      `qemu-monitor-command --domain ${vm.uuid} --cmd '{"execute":"query-block"}'`,
      'list --all --uuid',
    ];
    const expected = await alone.batchWithProof(questions);
    expect(expected.map((answer) => answer === '')).toEqual([false, false, true, true, false]);
    const before = tools.calls.length;
    for (let round = 0; round < 3; round += 1) {
      expect(await together.batchWithProof(questions)).toEqual(expected);
      expect(await together.batch(questions)).toEqual(expected);
      expect((await together.read(['dumpxml', '--domain', vm.uuid])).trim()).toBe(expected[1]);
      expect(await together.answers()).toBe(true);
    }
    expect(tools.calls).toHaveLength(before);
  });

  it('leaves an answer that may be no answer to a process with an exit code', async () => {
    const tools = new CountingRunner();
    const virsh = new Virsh(tools, host.uri, open());
    expect(await virsh.batchWithProof(['list --all --uuid', 'list --uuid'])).toEqual([vm.uuid, '']);
    expect(tools.calls).toHaveLength(1);
    const nobody = randomUUID();
    await expect(virsh.read(['dumpxml', '--domain', nobody], { uuid: nobody })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('has no more processes than there may be: who comes while they are busy is told so', async () => {
    const sessions = open();
    const answers = await Promise.all([1, 2, 3].map(() => sessions.ask([], LONG_MS)));
    expect(answers.filter((answer) => answer === undefined)).toHaveLength(1);
    expect(await sessions.ask([], LONG_MS)).toEqual([]);
  });

  it('does not answer for a libvirtd that is away, and does when it is back', async () => {
    const sessions = open();
    expect(await sessions.ask(['list --all --uuid'], LONG_MS)).toEqual([vm.uuid]);
    await host.killLibvirtd();
    expect(await sessions.ask(['list --all --uuid'], LONG_MS)).toBeUndefined();
    await host.startLibvirtd();
    await waitUntil('it answers again', async () => (await sessions.ask(['list --all --uuid'], LONG_MS))?.[0] === vm.uuid);
  });

  it('is killed when it does not answer in time, and another takes its place', async () => {
    const { sessions, pid } = await openOne();
    await host.pauseLibvirtd();
    await expect(sessions.ask([], 500)).rejects.toMatchObject({ code: 'TIMED_OUT' });
    await host.continueLibvirtd();
    expect(await sessions.ask(['list --all --uuid'], LONG_MS)).toEqual([vm.uuid]);
    expect(await children()).not.toContain(pid);
  });

  it('that dies over a question leaves it to others, and another takes its place', async () => {
    const { sessions, pid } = await openOne();
    await host.pauseLibvirtd();
    const asked = sessions.ask(['list --all --uuid'], LONG_MS);
    process.kill(pid, 'SIGKILL');
    expect(await asked).toBeUndefined();
    await host.continueLibvirtd();
    expect(await sessions.ask(['list --all --uuid'], LONG_MS)).toEqual([vm.uuid]);
  });
});
