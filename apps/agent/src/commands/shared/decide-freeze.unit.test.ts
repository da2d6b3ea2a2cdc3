/** Whether a guest is frozen, by wish and by what its agent says. */
import { describe, expect, it } from '@jest/globals';
import type { ObservedDomain, PowerState } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { CommandPorts } from '../ports.js';
import { decideFreeze, type FreezeWish } from './decide-freeze.js';

type Answer = 'thawed' | 'frozen' | HoldfastError;

/** The VM, and what its guest agent answers; none: it has no agent connected, and nobody may ask it. */
function ask(quiesce: FreezeWish['quiesce'], answer?: Answer, state: PowerState = 'running') {
  const freezeStatus = async (): Promise<'thawed' | 'frozen'> => {
    if (answer === undefined) throw new Error('an agent was asked that is not there');
    if (answer instanceof HoldfastError) throw answer;
    return answer;
  };
  const ports = { hypervisor: { freezeStatus } } as unknown as CommandPorts;
  const domain = { uuid: 'u', name: 'web', state, guestAgent: answer !== undefined } as ObservedDomain;
  return decideFreeze(ports, { what: 'backup', quiesce }, domain);
}

const silent = new HoldfastError('TIMED_OUT', 'no answer within 5 s');
const nonsense = new HoldfastError('TOOL_FAILED', 'the agent answers "x"');
const libvirtAway = new HoldfastError('HYPERVISOR_UNAVAILABLE', 'libvirt does not answer');

describe('decideFreeze', () => {
  it.each(['try', 'require'] as const)('freezes a guest whose agent says that it is thawed, with "%s"', async (quiesce) => {
    expect(await ask(quiesce, 'thawed')).toEqual({ freeze: true, warnings: [] });
  });

  it('asks nobody and says nothing with "no"', async () => {
    expect(await ask('no')).toEqual({ freeze: false, warnings: [] });
    expect(await ask('no', libvirtAway)).toEqual({ freeze: false, warnings: [] });
  });

  it.each(['try', 'require'] as const)(
    'has nothing to freeze with "%s" in a VM that is shut off, and says so',
    async (quiesce) => {
      const { freeze, warnings } = await ask(quiesce, 'frozen', 'shut-off');
      expect([freeze, warnings]).toEqual([false, [expect.stringContaining('web is not running')]]);
    },
  );

  it('a paused VM, whose guest cannot flush: refused with "require", a warning with "try", nothing with "no"', async () => {
    const refusal = { code: 'WRONG_STATE', message: expect.stringContaining('virsh resume'), fields: { vmId: 'u' } };
    await expect(ask('require', 'thawed', 'paused')).rejects.toMatchObject(refusal);
    expect(await ask('try', 'thawed', 'paused')).toEqual({ freeze: false, warnings: [expect.stringContaining('it is paused')] });
    expect(await ask('no', 'thawed', 'paused')).toEqual({ freeze: false, warnings: [] });
  });

  it.each([
    ['that is missing', undefined, 'no guest agent connected'],
    ['that is silent', silent, 'does not answer'],
    ['that talks nonsense', nonsense, 'does not answer'],
  ])('an agent %s: refused with "require", a warning with "try"', async (_how, answer, reason) => {
    const refusal = { code: 'GUEST_AGENT_MISSING', message: expect.stringContaining(reason), fields: { vmId: 'u' } };
    await expect(ask('require', answer)).rejects.toMatchObject(refusal);
    expect(await ask('try', answer)).toEqual({ freeze: false, warnings: [expect.stringContaining(reason)] });
  });

  it.each(['try', 'require'] as const)('leaves a guest alone that somebody else has frozen, with "%s"', async (quiesce) => {
    await expect(ask(quiesce, 'frozen')).rejects.toMatchObject({
      code: 'FREEZE_FAILED',
      message: expect.stringContaining('domfsthaw'),
    });
  });

  it('does not take a libvirt that is away for an agent that is', async () => {
    await expect(ask('try', libvirtAway)).rejects.toMatchObject({ code: 'HYPERVISOR_UNAVAILABLE' });
  });
});
