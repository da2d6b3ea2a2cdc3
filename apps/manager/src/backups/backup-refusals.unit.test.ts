/** What keeps a VM from being backed up is said before anything is touched, with the name and the way out. */
import { describe, expect, it } from '@jest/globals';
import { backupRefusal, type RefusalVm } from './backup-refusals.js';

const vm: RefusalVm = {
  id: 'V',
  name: 'web "1"\n$(x)',
  powerState: 'Running',
  protectionState: 'Ok',
  protectionReason: null,
  guestAgent: true,
  activeOperationId: null,
  problems: [],
};
const fine = [{ target: 'vda', refusal: null }];
const network = { target: 'vdb', refusal: { code: 'DISK_UNSUPPORTED' as const, message: 'a network disk', fields: {} } };

describe('backupRefusal', () => {
  it('a VM that can be backed up is not refused', () => {
    expect(backupRefusal(vm, fine, 'require')).toBeUndefined();
  });

  it.each([
    ['CHAIN_UNEXPLAINED', { ...vm, protectionState: 'BackupError' as const }, fine, 'no' as const],
    [
      'DEFINITION_DRIFT',
      { ...vm, problems: [{ code: 'DEFINITION_DRIFT' as const, message: 'drift', fields: {} }] },
      fine,
      'no' as const,
    ],
    ['DISK_UNSUPPORTED', vm, [...fine, network], 'no' as const],
    ['DISK_UNSUPPORTED', vm, [], 'no' as const],
    ['WRONG_STATE', { ...vm, powerState: 'Other' }, fine, 'no' as const],
    ['GUEST_AGENT_MISSING', { ...vm, guestAgent: false }, fine, 'require' as const],
    ['WRONG_STATE', { ...vm, powerState: 'Paused' }, fine, 'require' as const],
  ])('%s', (code, refusedVm, volumes, quiesce) => {
    expect(backupRefusal(refusedVm, volumes, quiesce)).toMatchObject({ code });
  });

  it('names every disk that is in the way', () => {
    expect(backupRefusal(vm, [network, { ...network, target: 'vdc' }], 'no')).toMatchObject({
      fields: { target: 'vdb,vdc' },
      message: expect.stringContaining('vdc: a network disk'),
    });
  });

  it('a paused VM is refused for "require" alone, and not while Holdfast works on it: it may be paused for that', () => {
    const paused = { ...vm, powerState: 'Paused' };
    expect(backupRefusal(paused, fine, 'require')?.message).toContain('Resume it');
    expect(backupRefusal(paused, fine, 'try')).toBeUndefined();
    expect(backupRefusal(paused, fine, 'no')).toBeUndefined();
    expect(backupRefusal({ ...paused, activeOperationId: 'O' }, fine, 'require')).toBeUndefined();
  });

  it('without the guest agent, try and no go on; so does a VM that is not running', () => {
    expect(backupRefusal({ ...vm, guestAgent: false }, fine, 'try')).toBeUndefined();
    expect(backupRefusal({ ...vm, guestAgent: false, powerState: 'Stopped' }, fine, 'require')).toBeUndefined();
  });
});
