/**
 * Decides what a scan takes up from a storage: whole backups that nobody recorded, parents before children, and records that a
 * manifest contradicts. Pure: what lies there and what is recorded in, a plan out. What stays is named with the reason.
 */
import type { BackupState } from '@holdfast/shared/api/backups.js';
import type { Manifest } from '@holdfast/shared/manifest/manifest.js';
import { DOMAIN_XML_FILE, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { SurveyedDisk } from '../../agents/agent-types.js';
import { damageOf, manifestOf, sortOut, type BackupFolder } from '../check/backup-folders.js';
import { recordDiffers, type RecordedBackup, type StorageComparison } from '../check/compare-storage.js';

/** A backup that is to be recorded, or whose record is to be set right. */
export interface FoundBackup {
  readonly manifest: Manifest;
  /** The VM's disks at the freeze. */
  readonly disks: readonly SurveyedDisk[];
}

export interface Correction {
  readonly manifest: Manifest;
  /** Its recorded parent, which it has absorbed: that one's files are gone. */
  readonly absorbedId: string | undefined;
}

export interface LeftBackup {
  readonly backupId: string;
  readonly backupName: string;
  readonly vmId: string;
  readonly vmName: string;
  readonly frozenAt: string | undefined;
  readonly reason: string;
}

export interface VmScan {
  readonly vmId: string;
  /** A backup comes after its parent; otherwise the oldest first. */
  readonly takeUp: readonly FoundBackup[];
  readonly correct: readonly Correction[];
}

export interface ScanPlan {
  readonly vms: readonly VmScan[];
  readonly left: readonly LeftBackup[];
}

/** Their files are there, and stay as long as a backup needs them. */
const KEPT: ReadonlySet<BackupState> = new Set(['BackedUp', 'Removed']);

export function planScan(facts: StorageComparison): ScanPlan {
  return new Planner(facts).plan();
}

class Planner {
  private readonly folders: ReadonlyMap<string, BackupFolder>;
  private readonly recorded: ReadonlyMap<string, RecordedBackup>;
  /** Published and nowhere recorded, by id. */
  private readonly unknown = new Map<string, { folder: BackupFolder; manifest: Manifest }>();
  private readonly verdicts = new Map<string, string | undefined>();
  private readonly left: LeftBackup[] = [];

  constructor(private readonly facts: StorageComparison) {
    this.folders = sortOut(facts.entries, facts.busyVmIds).folders;
    this.recorded = new Map(facts.backups.map((backup) => [backup.id, backup]));
  }

  plan(): ScanPlan {
    const differing: { folder: BackupFolder; manifest: Manifest; known: RecordedBackup }[] = [];
    for (const folder of this.folders.values()) {
      const known = this.recorded.get(folder.backupId);
      const manifest = manifestOf(folder, this.facts.storageId);
      if (manifest === undefined) continue;
      if (typeof manifest === 'string') {
        if (known === undefined) this.leaveUnreadable(folder, manifest);
      } else if (known === undefined) this.unknown.set(folder.backupId, { folder, manifest });
      else if (known.state === 'Failed')
        this.leave(
          manifest,
          'It is recorded as failed, so it may have been read from disks that were merged meanwhile. The clean-up of its VM decides what it is: holdfast vm finish-chain.',
        );
      else if (recordDiffers(known, manifest)) differing.push({ folder, manifest, known });
    }
    const vms = new Map<string, { takeUp: FoundBackup[]; correct: Correction[] }>();
    const of = (vmId: string): { takeUp: FoundBackup[]; correct: Correction[] } => {
      const vm = vms.get(vmId) ?? { takeUp: [], correct: [] };
      vms.set(vmId, vm);
      return vm;
    };
    for (const { folder, manifest, known } of differing) {
      const reason = damageOf(folder, manifest, this.folders) ?? this.parentProblem(manifest, new Set([known.id]));
      if (reason === undefined) of(folder.vmId).correct.push({ manifest, absorbedId: this.absorbed(known, manifest) });
      else this.leave(manifest, reason);
    }
    for (const { folder, manifest } of this.parentsFirst()) {
      const reason = this.verdict(manifest.backupId, new Set());
      if (reason === undefined) of(folder.vmId).takeUp.push({ manifest, disks: disksOf(folder) });
      else this.leave(manifest, reason);
    }
    // Who locks more than one VM locks in the order of ids.
    const ordered = [...vms].sort(([a], [b]) => (a < b ? -1 : 1)).map(([vmId, vm]) => ({ vmId, ...vm }));
    return { vms: ordered, left: this.left };
  }

  private parentsFirst(): { folder: BackupFolder; manifest: Manifest }[] {
    const ordered = new Map<string, { folder: BackupFolder; manifest: Manifest }>();
    const visit = (id: string, below: ReadonlySet<string>): void => {
      const found = this.unknown.get(id);
      if (found === undefined || ordered.has(id) || below.has(id)) return;
      if (found.manifest.parentBackupId !== undefined) visit(found.manifest.parentBackupId, new Set([...below, id]));
      ordered.set(id, found);
    };
    const byAge = [...this.unknown.values()].sort((a, b) => (a.manifest.frozenAt < b.manifest.frozenAt ? -1 : 1));
    for (const { manifest } of byAge) visit(manifest.backupId, new Set());
    return [...ordered.values()];
  }

  /** Why an unknown backup cannot be recorded; undefined: it can. */
  private verdict(id: string, below: ReadonlySet<string>): string | undefined {
    if (below.has(id)) return `Backup ${id} is its own ancestor.`;
    if (!this.verdicts.has(id)) this.verdicts.set(id, this.judge(id, new Set([...below, id])));
    return this.verdicts.get(id);
  }

  private judge(id: string, below: ReadonlySet<string>): string | undefined {
    const found = this.unknown.get(id);
    if (found === undefined) return `Backup ${id} is not on the storage.`;
    const { folder, manifest } = found;
    if (manifest.compaction !== undefined)
      return 'It is in the middle of a compaction. The agent that began it finishes it when it runs; scan again then.';
    const damage = damageOf(folder, manifest, this.folders);
    if (damage !== undefined) return damage;
    const disks = disksOf(folder);
    const unplaced = manifest.volumes.find(({ device }) => !disks.some(({ target, path }) => target === device && path !== ''));
    if (unplaced !== undefined)
      return `${folder.path}/${DOMAIN_XML_FILE} does not say which file the disk ${unplaced.device} was, so it is not known where it would be restored to.`;
    return this.parentProblem(manifest, below);
  }

  /** Why the parent that the manifest names cannot carry it; undefined: it can, or there is none. */
  private parentProblem({ parentBackupId: id, vm }: Manifest, below: ReadonlySet<string>): string | undefined {
    if (id === undefined) return undefined;
    const known = this.recorded.get(id);
    if (known !== undefined) {
      if (KEPT.has(known.state)) return undefined;
      // A deletion that failed before anything was deleted: it is only kept for others from now on.
      if (known.state === 'DeleteFailed' && this.isWhole(vm.id, id)) return undefined;
      return `Its parent ${id} is recorded as ${known.state}.`;
    }
    const reason = this.unknown.has(id) ? this.verdict(id, below) : 'It is not on the storage.';
    return reason === undefined ? undefined : `Its parent ${id} is not recorded and cannot be taken up: ${reason}`;
  }

  private isWhole(vmId: string, id: string): boolean {
    const folder = this.folders.get(backupFolder(vmId, id));
    const manifest = folder === undefined ? undefined : manifestOf(folder, this.facts.storageId);
    if (folder === undefined || manifest === undefined || typeof manifest === 'string') return false;
    return manifest.compaction === undefined && damageOf(folder, manifest, this.folders) === undefined;
  }

  /** The recorded parent, when the manifest shows that it was merged into its only child and its folder is gone. */
  private absorbed(known: RecordedBackup, manifest: Manifest): string | undefined {
    const parent = this.recorded.get(known.parentId ?? '');
    if (parent === undefined || !KEPT.has(parent.state) || known.type !== 'INCREMENTAL') return undefined;
    if (manifest.type !== 'FULL' || manifest.parentBackupId !== undefined) return undefined;
    if (this.folders.has(backupFolder(parent.vmId, parent.id))) return undefined;
    const others = this.facts.backups.some(
      ({ id, parentId, state }) => id !== known.id && parentId === parent.id && KEPT.has(state),
    );
    return others ? undefined : parent.id;
  }

  private leave({ backupId, backupName, vm, frozenAt }: Manifest, reason: string): void {
    this.left.push({ backupId, backupName, vmId: vm.id, vmName: vm.name, frozenAt, reason });
  }

  private leaveUnreadable({ backupId, vmId, path }: BackupFolder, why: string): void {
    const reason = `${path}/manifest.json ${why}.`;
    this.left.push({ backupId, backupName: backupId, vmId, vmName: vmId, frozenAt: undefined, reason });
  }
}

function disksOf(folder: BackupFolder): readonly SurveyedDisk[] {
  return folder.files.get(DOMAIN_XML_FILE)?.disks ?? [];
}
