import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DomainEvents } from '../../apps/agent/src/hypervisor/domain-events.js';
import { run } from '../testbed/command.js';
import { TestHost } from '../testbed/test-host.js';
import { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { silentLog } from './rig.js';

let host: TestHost;
beforeAll(async () => {
  host = await TestHost.create({ name: 'agent-events' });
});
afterAll(async () => {
  await host?.destroy();
});

const listeners = async () =>
  (await run(['ps', '-eo', 'args'])).split('\n').filter((line) => line.includes(host.uri) && line.includes('event --all')).length;

it('hints at what happens to domains, comes back after a death of libvirtd, and ends without leaving a process', async () => {
  const vm = await TestVm.define(host, { name: 'event', disks: [] });
  const events = new DomainEvents({ uri: host.uri, log: silentLog });
  let hints = 0;
  events.onHint(() => (hints += 1));
  events.start();
  const hintAfter = async (what: string, act: () => Promise<unknown>) => {
    const before = hints;
    await act();
    await waitUntil(what, () => hints > before);
  };
  await waitUntil('the listener is heard', async () => {
    const before = hints;
    await host.virsh('start', vm.uuid);
    await host.virsh('destroy', vm.uuid);
    return hints > before;
  });
  await hintAfter('a start is heard', () => host.virsh('start', vm.uuid));
  await hintAfter('the death of libvirtd is heard', () => host.killLibvirtd());
  await host.startLibvirtd();
  await waitUntil('another listener is connected', async () => (await listeners()) === 1);
  await waitUntil('events are heard again', async () => {
    const before = hints;
    await host.virsh('suspend', vm.uuid);
    await host.virsh('resume', vm.uuid);
    return hints > before;
  });
  events.stop();
  await waitUntil('the listener has ended', async () => (await listeners()) === 0);
  expect(hints).toBeGreaterThan(0);
});
