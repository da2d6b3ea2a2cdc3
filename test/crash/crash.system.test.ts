/**
 * The fixed part of the crash cases that every change must pass: for each operation the moments that hurt most, each with a
 * fault that belongs to it. `make crash` runs all of them.
 */
import { describe, it } from '@jest/globals';
import { caseNamed } from './crash-case.js';
import { CrashFailures, sweepCrashCases } from './sweep.js';

const PART_MS = 1_800_000;

/** Whole names, as `make crash` prints them. Each part has a bench of its own. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  'a backup of a running VM': [
    'TakeBackup freeze after agent',
    'TakeBackup freeze after managed-save',
    'TakeBackup snapshot before libvirtd',
    'TakeBackup snapshot after power-loss',
    'TakeBackup copy.{vda} before storage-hang',
    'TakeBackup copy.{vdb} before qemu-img',
    'TakeBackup seal.{vda} before storage-full',
    'TakeBackup publish-files before looks',
    'TakeBackup publish-files after storage-read-only',
    'TakeBackup publish-manifest before storage-gone',
    'TakeBackup publish-manifest after manager',
    'TakeBackup merge.vda.1 before virsh',
    'TakeBackup merge.vda.1 after managed-save',
    'TakeBackup discard.vda.1 before power-button',
  ],
  'a backup that is cancelled, of a stopped VM, and a chain that is finished': [
    'TakeBackup-cancelled undo-merge.vda.1 after libvirtd',
    'TakeBackup-cancelled undo-discard-folder before storage-gone',
    'TakeBackup-stopped snapshot after agent',
    'TakeBackup-stopped merge.vda.1 before power-loss',
    'FinishBackupChain merge.vda.1 after power-loss',
  ],
  'a restore and the files that it leaves': [
    'RestoreBackup restore.{vda} before qemu-img',
    'RestoreBackup verify.{backup 1}.{vda}.qcow2 before storage-gone',
    'RestoreBackup switch before libvirtd',
    'RestoreBackup switch after agent',
    'RestoreBackup-cancelled undo-switch before power-loss',
    'ReleaseFiles release.{left vda} before agent',
  ],
  'what shortens a chain on secondary storage': [
    'CompactChain merge.{vda} before storage-full',
    'CompactChain replace.{vda} after agent',
    'CompactChain publish before storage-gone',
    'DeleteBackups delete.{doomed 1} after storage-read-only',
    'DeleteBackups-head merge.vda.1 after power-loss',
    'DeleteBackups-head delete.{doomed 1} before agent',
  ],
  'VM snapshots': [
    'TakeVmSnapshot snapshot after libvirtd',
    'TakeVmSnapshot sync.vda before agent',
    'TakeVmSnapshot-stopped snapshot before power-loss',
    'RevertVmSnapshot overlay.vda after agent',
    'RevertVmSnapshot switch before libvirtd',
  ],
  // On a tree that is planted for it: what earlier cases leave has other layers to merge.
  'the deletion of VM snapshots': [
    'DeleteVmSnapshots merge.vda.1 before libvirtd',
    'DeleteVmSnapshots discard.vda.1 after power-loss',
  ],
};

describe('crash cases, a fixed part', () => {
  it.each(Object.keys(PARTS))(
    '%s',
    async (part) => {
      const names = PARTS[part] ?? [];
      const unknown = names.filter((name) => caseNamed(name) === undefined);
      if (unknown.length > 0) throw new Error(`these are no names of cases: ${unknown.join(', ')}`);
      const failures = await sweepCrashCases({ matching: names });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );

  it.each([
    'finding A: libvirtd misses',
    'finding F',
    'freeze: the guest agent hangs',
    'drift',
    'unsynced',
    'unmounted',
    'hanging storage: a backup is copied',
  ])(
    '%s',
    async (beginning) => {
      const failures = await sweepCrashCases({ findings: [beginning] });
      if (failures.length > 0) throw new CrashFailures(failures);
    },
    PART_MS,
  );
});
