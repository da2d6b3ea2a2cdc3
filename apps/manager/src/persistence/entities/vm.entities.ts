/** Rows of VMs, their volumes, the deltas of ours in them, and the files that restores left behind. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn, Unique } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import {
  bigintColumn,
  moment,
  nullableBigint,
  nullableJson,
  nullableMoment,
  nullableText,
  nullableUuid,
} from '../column-types.js';
import { AccountEntity } from './access.entities.js';
import { HostEntity, ZoneEntity } from './inventory.entities.js';
import { OfferingEntity } from './offering.entity.js';

export type VmPowerState = 'Running' | 'Paused' | 'Stopped' | 'Other' | 'Unknown' | 'Gone';
export type VmProtectionState = 'Ok' | 'MergePending' | 'BackupError';

@Entity('vm')
export class VmEntity {
  /** libvirt domain UUID. */
  @PrimaryColumn('uuid') id!: string;
  @ForeignKey(() => ZoneEntity)
  @Index('vm_zone_idx')
  @Column('uuid')
  zoneId!: string;
  @ForeignKey(() => HostEntity)
  @Index('vm_host_idx')
  @Column(nullableUuid)
  hostId!: string | null;
  @Column('text') name!: string;
  @ForeignKey(() => AccountEntity)
  @Index('vm_account_idx')
  @Column(nullableUuid)
  accountId!: string | null;
  @Column('text') powerState!: VmPowerState;
  @Index('vm_unprotected_idx', { where: `protection_state <> 'Ok'` })
  @Column('text')
  protectionState!: VmProtectionState;
  @Column(nullableJson) protectionReason!: ErrorData | null;
  @Column('boolean') guestAgent!: boolean;
  @Column('jsonb') problems!: ErrorData[];
  @Column('jsonb') settings!: Record<string, string>;
  @ForeignKey(() => OfferingEntity)
  @Index('vm_offering_idx')
  @Column(nullableUuid)
  offeringId!: string | null;
  /** Newest backup of the open chain. */
  @Column(nullableUuid) headBackupId!: string | null;
  /** Why there is no open chain any more: recorded as the reason of the next full backup. */
  @Column(nullableText) chainEndedReason!: string | null;
  /** Grows with every dispatch of work on this VM; an agent refuses an older one. */
  @Column({ ...bigintColumn, default: 0 }) fencingToken!: bigint;
  /** The operation that holds the VM's lock. */
  @Column(nullableUuid) activeOperationId!: string | null;
  @Column({ type: 'integer', default: 0 }) cleanupAttempts!: number;
  @Column(nullableMoment) cleanupNotBefore!: Date | null;
  @Column(nullableMoment) lastBackupAt!: Date | null;
  @Column(nullableMoment) seenAt!: Date | null;
  /** The snapshot of ours that the VM stands on. */
  @Column(nullableUuid) currentSnapshotId!: string | null;
  /** What libvirt itself keeps record of, as last observed. Never written to. */
  @Column({ type: 'jsonb', default: [] }) libvirtSnapshots!: StoredLibvirtSnapshot[];
}

/** A snapshot that virsh or another tool made. */
export interface StoredLibvirtSnapshot {
  /** Derived from the VM's id and the snapshot's name: the same at every look. */
  id: string;
  name: string;
  /** Empty: it has none. */
  parentName: string;
  createdAt: string;
  current: boolean;
  /** It holds memory, or is kept inside an image. */
  foreignKind: boolean;
  disks: { target: string; pinnedPath: string; overlayPath: string }[];
}

/** A layer as last observed; bytes and inode as decimal strings. */
export interface StoredLayer {
  path: string;
  format: string;
  inode: string;
  virtualSizeBytes: string;
  allocatedBytes: string;
}

@Entity('volume')
export class VolumeEntity {
  /** Also the volume's key in every backup. */
  @PrimaryColumn('uuid') id!: string;
  @ForeignKey(() => VmEntity)
  @Index('volume_vm_idx')
  @Column('uuid')
  vmId!: string;
  @Column('text') target!: string;
  @Column('text') serial!: string;
  @Column('boolean') attached!: boolean;
  @Column('text') format!: string;
  @Column(bigintColumn) virtualSizeBytes!: bigint;
  @Column('jsonb') layers!: StoredLayer[];
  /** The volume's own bottom file: the active layer when it was first seen, or what a restore made. */
  @Column('text') basePath!: string;
  /** Layers at and below this path are a template and not the volume's own. */
  @Column(nullableText) templatePath!: string | null;
  /** The file that a running restore is about to switch to. */
  @Column(nullableText) intendedPath!: string | null;
  @Column(nullableJson) refusal!: ErrorData | null;
}

/** `Intended`: written down before the agent acts. `Present`: published and in the chain. `Leftover`: of a failed or deleted backup, to be merged or removed. */
export type DeltaState = 'Intended' | 'Present' | 'Leftover';

/** A delta of ours on primary. The row goes when the delta has been merged or removed. */
@Entity('volume_delta')
@Unique('volume_delta_backup_key', ['volumeId', 'backupId'])
export class VolumeDeltaEntity {
  @PrimaryColumn('uuid') id!: string;
  @Index('volume_delta_vm_idx') @Column('uuid') vmId!: string;
  @ForeignKey(() => VolumeEntity)
  @Column('uuid')
  volumeId!: string;
  @Column('uuid') backupId!: string;
  @Column('text') path!: string;
  @Column(nullableBigint) inode!: bigint | null;
  @Column('text') state!: DeltaState;
}

@Entity('superseded_file')
export class SupersededFileEntity {
  @PrimaryColumn('uuid') id!: string;
  @Index('superseded_file_vm_idx') @Column('uuid') vmId!: string;
  @Column('uuid') volumeId!: string;
  @ForeignKey(() => HostEntity)
  @Column('uuid')
  hostId!: string;
  @Column('text') path!: string;
  /** The restore that left it behind, or the backup that made a delta that its volume has moved away from. */
  @Column('uuid') operationId!: string;
  /** It may hold what was written last to a disk that is the VM's no more: it goes only when it is named. */
  @Column('boolean') byNameOnly!: boolean;
  /** The operation that is to delete it now. */
  @Column(nullableUuid) releaseOperationId!: string | null;
  @Column(moment) supersededAt!: Date;
}
