/** Freeze: a guest agent that hangs, and an agent of ours that dies while the guest is frozen. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '../../testbed/wait-until.js';
import type { Finding } from './finding.js';

export const agentHangsInFreeze: Finding = {
  name: 'freeze: the guest agent hangs when it is asked to freeze',
  async play(bench) {
    await bench.runningWithNewContent();
    const { operationId, goOn } = await bench.strikes.standAt({ step: 'freeze', subject: '', phase: 'before' }, () =>
      bench.backups.start({ quiesce: 'require' }),
    );
    await bench.vm.hangAgent();
    await goOn();
    const end = await bench.waitForRest(operationId);
    if (end.succeeded) throw new Error('a backup that could not be quiesced was called quiesced');
    await bench.strikes.demandLivingGuest();
    // The freeze command is still queued in the guest: it is carried out now, and must not stay.
    await bench.vm.resumeAgent();
    await waitUntil('the guest is thawed for good', async () => {
      const before = await bench.vm.fsfreezeStatus();
      await sleep(1_000);
      return before === 'thawed' && (await bench.vm.fsfreezeStatus()) === 'thawed';
    });
    await bench.backups.conclude(operationId, false);
    await bench.checkInvariants();
    return `${end.words}; thawed when the guest agent woke`;
  },
};

export const agentHangsWhileFrozen: Finding = {
  name: 'freeze: the guest agent hangs while the guest is frozen',
  async play(bench) {
    await bench.runningWithNewContent();
    const frozen = async () => {
      const standing = await bench.strikes.standAt({ step: 'snapshot', subject: '', phase: 'before' }, () =>
        bench.backups.start({ quiesce: 'require' }),
      );
      if ((await bench.vm.fsfreezeStatus()) !== 'frozen') throw new Error('the guest is not frozen: this case proves nothing');
      await bench.vm.hangAgent();
      return standing;
    };
    const demandFailure = async (operationId: string): Promise<string> => {
      const end = await bench.waitForRest(operationId);
      if (end.succeeded) throw new Error('a backup whose guest was not frozen at its snapshot was called quiesced');
      await bench.backups.conclude(operationId, false);
      return end.words;
    };

    // A short hang. Nobody lets the operation go on: only the budget can thaw the guest.
    const short = await frozen();
    await sleep(2_000);
    await bench.vm.resumeAgent();
    await waitUntil('the budget thaws the guest', async () => (await bench.vm.fsfreezeStatus()) === 'thawed');
    await short.goOn();
    const words = await demandFailure(short.operationId);
    await bench.checkInvariants();

    // A hang without an end: the operation ends all the same, and the guest is thawed the moment that its agent wakes.
    await bench.runningWithNewContent();
    const long = await frozen();
    await long.goOn();
    await demandFailure(long.operationId);
    await bench.vm.resumeAgent();
    await waitUntil('the guest is thawed when its agent wakes', async () => (await bench.vm.fsfreezeStatus()) === 'thawed');
    await bench.checkInvariants();
    return `${words}; thawed within the budget, and when the guest agent woke`;
  },
};

export const agentDiesWhileFrozen: Finding = {
  name: 'freeze: agent and libvirtd die while the guest is frozen',
  async play(bench) {
    await bench.runningWithNewContent();
    const { operationId, goOn } = await bench.strikes.standAt({ step: 'snapshot', subject: '', phase: 'before' }, () =>
      bench.backups.start({ quiesce: 'require' }),
    );
    if ((await bench.vm.fsfreezeStatus()) !== 'frozen') throw new Error('the guest is not frozen: this case proves nothing');
    await bench.stack.killAgent();
    await bench.host.killLibvirtd();
    await goOn();
    await bench.stack.startAgent();
    await sleep(1_000);
    await bench.host.startLibvirtd();
    const end = await bench.waitForRest(operationId);
    await bench.backups.conclude(operationId, end.succeeded);
    await bench.checkInvariants();
    return end.words;
  },
};
