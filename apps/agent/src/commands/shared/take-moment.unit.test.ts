/** What a backup says of a guest that was frozen for its snapshot; the rest of a moment is tested on real VMs. */
import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { Relief } from '../../guest-duties/guest-duties.js';
import { takeMoment, type MomentWish } from './take-moment.js';

const answers = {
  frozen: async () => 'frozen' as const,
  thawed: async () => 'thawed' as const,
  silent: async () => {
    throw new HoldfastError('TOOL_FAILED', 'guest agent is not responding');
  },
};

async function moment(
  status: keyof typeof answers,
  quiesce: 'try' | 'require' = 'try',
  { relief = 'relieved', fileSystems = 1 }: { relief?: Relief; fileSystems?: number } = {},
) {
  const warnings: string[] = [];
  const done = async (): Promise<void> => {};
  const ports = {
    hypervisor: {
      ...{ domainXml: async () => '<domain/>', observe: async () => ({}), freeze: async () => fileSystems, snapshotDisks: done },
      freezeStatus: answers[status],
    },
    duties: { owe: done, fulfil: async () => relief },
    clock: { now: () => 0, sleep: () => new Promise<void>(() => {}) },
  } as unknown as CommandPorts;
  const step = async (_name: string, _subject: string, intent: unknown, act: (...args: unknown[]) => unknown) =>
    act(intent, { repeated: false });
  const context = { step, warn: (text: string) => warnings.push(text) } as unknown as StepContext;
  const header = { operationId: 'o', vmUuid: 'v', vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 };
  const wish: MomentWish = { header, what: 'backup', quiesce, freezeBudgetMs: 10_000, freeze: true, disks: [] };
  return { ...(await takeMoment(ports, wish, context)), warnings };
}

describe('the guest of a moment', () => {
  it('was frozen over the snapshot when it says so afterwards', async () => {
    expect(await moment('frozen')).toMatchObject({ quiesced: true, warnings: [] });
  });

  it('was not, and the words tell a guest that was thawed from one that does not answer', async () => {
    expect((await moment('thawed')).warnings).toEqual([expect.stringContaining('thawed before the snapshot was finished')]);
    const silent = await moment('silent');
    expect(silent).toMatchObject({ quiesced: false, warnings: [expect.stringContaining('did not say whether')] });
    await expect(moment('silent', 'require')).rejects.toMatchObject({ code: 'FREEZE_FAILED' });
  });

  it('was not when it has no file system that can be frozen, and that is what is said', async () => {
    const none = await moment('thawed', 'try', { fileSystems: 0 });
    expect(none).toMatchObject({ quiesced: false, warnings: [expect.stringContaining('found no file system')] });
    await expect(moment('thawed', 'require', { fileSystems: 0 })).rejects.toMatchObject({
      code: 'FREEZE_FAILED',
      message: expect.stringContaining('found no file system'),
    });
  });

  it.each(['relieved-late', 'owed'] as const)('is not said to have been when its thaw was not confirmed (%s)', async (relief) => {
    const unproven = await moment('frozen', 'try', { relief });
    expect(unproven).toMatchObject({ quiesced: false, warnings: [expect.stringContaining('did not confirm it')] });
    await expect(moment('frozen', 'require', { relief })).rejects.toMatchObject({ code: 'FREEZE_FAILED' });
  });
});
