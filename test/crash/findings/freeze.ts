/** Freeze: a guest agent that hangs, and an agent of ours that dies while the guest is frozen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../testbed/wait-until.js';
import type { Finding } from './finding.js';

export const agentHangsInFreeze: Finding = {
  name: 'freeze: the guest agent hangs when it is asked to freeze',
  async play(bench) {
    await bench.runningWithNewContent();
    const breakpoint = await bench.setBreakpoint({ step: 'freeze', subject: '', phase: 'before' });
    const operationId = await bench.startBackup({ quiesce: 'require' });
    if (!(await bench.waitForBreakpointOrEnd(breakpoint, operationId))) throw new Error('the freeze was not reached');
    await bench.vm.hangAgent();
    await bench.clearBreakpoint(breakpoint);
    const end = await bench.waitForRest(operationId);
    if (end.succeeded) throw new Error('a backup that could not be quiesced was called quiesced');
    await bench.demandLivingGuest();
    // The freeze command is still queued in the guest: it is carried out now, and must not stay.
    await bench.vm.resumeAgent();
    await waitUntil('the guest is thawed for good', async () => {
      const before = await bench.vm.fsfreezeStatus();
      await sleep(1_000);
      return before === 'thawed' && (await bench.vm.fsfreezeStatus()) === 'thawed';
    });
    await bench.concludeBackup(operationId, false);
    await bench.checkInvariants();
    return `${end.words}; thawed when the guest agent woke`;
  },
};

export const agentDiesWhileFrozen: Finding = {
  name: 'freeze: agent and libvirtd die while the guest is frozen',
  async play(bench) {
    await bench.runningWithNewContent();
    const breakpoint = await bench.setBreakpoint({ step: 'snapshot', subject: '', phase: 'before' });
    const operationId = await bench.startBackup({ quiesce: 'require' });
    if (!(await bench.waitForBreakpointOrEnd(breakpoint, operationId))) throw new Error('the snapshot was not reached');
    if ((await bench.vm.fsfreezeStatus()) !== 'frozen') throw new Error('the guest is not frozen: this case proves nothing');
    await bench.stack.killAgent();
    await bench.host.killLibvirtd();
    await bench.clearBreakpoint(breakpoint);
    await bench.stack.startAgent();
    await sleep(1_000);
    await bench.host.startLibvirtd();
    const end = await bench.waitForRest(operationId);
    await bench.concludeBackup(operationId, end.succeeded);
    await bench.checkInvariants();
    return end.words;
  },
};
