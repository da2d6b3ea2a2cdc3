/** One VM in full: state, problems, and its chains on primary and on secondary storage. Pure. */
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Vm, Volume } from '@holdfast/shared/api/inventory.js';
import { chainLines, volumeLine } from './chain-drawing.js';
import { errorLine, keyValues, time } from './text.js';

export function vmText(vm: Vm, volumes: readonly Volume[], backups: readonly Backup[]): string {
  const facts = keyValues([
    ['vm', vm.name],
    ['id', vm.id],
    ['zone', vm.zoneId],
    ['host', vm.hostId],
    ['owner', vm.accountId],
    ['power', vm.powerState],
    ['protection', vm.protectionState],
    ['reason', errorLine(vm.protectionReason)],
    ['offering', vm.offeringId ?? 'none: give it one with holdfast vm assign'],
    ['guest agent', vm.guestAgent ? 'answers' : 'does not answer'],
    ['busy with', vm.busyWith],
    ['last backup', time(vm.lastBackupAt)],
    ...vm.problems.map((problem) => ['problem', errorLine(problem)] as const),
    ...volumes
      .filter((volume) => volume.refusal !== undefined)
      .map((volume) => [volume.target, errorLine(volume.refusal)] as const),
  ]);
  const primary = volumes.map((volume) => `  ${volumeLine(volume)}\n`).join('') || '  no volumes\n';
  const secondary =
    chainLines(backups)
      .map((line) => `  ${line}\n`)
      .join('') || '  no backups\n';
  return `${facts}\non primary (* written to by the VM)\n${primary}\non secondary\n${secondary}`;
}
