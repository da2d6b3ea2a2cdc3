/** Rows of VM snapshots, of the layers that hold their content, and of the overlays that snapshots and reverts made. */
import { Column, Entity, ForeignKey, Index, PrimaryColumn } from 'typeorm';
import type { ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { CreateVmSnapshot, VmSnapshotState } from '@holdfast/shared/api/vm-snapshots.js';
import { bigintColumn, moment, nullableBigint, nullableJson, nullableMoment, nullableUuid } from '../column-types.js';
import { VmEntity, VolumeEntity, type DeltaState } from './vm.entities.js';

@Entity('vm_snapshot')
@Index('vm_snapshot_vm_idx', ['vmId', 'seq'])
export class VmSnapshotEntity {
  @PrimaryColumn('uuid') id!: string;
  /** Order of asking. */
  @Index('vm_snapshot_seq_key', { unique: true }) @Column({ ...bigintColumn, generated: 'increment' }) seq!: bigint;
  @ForeignKey(() => VmEntity)
  @Column('uuid')
  vmId!: string;
  @Column('text') name!: string;
  @Column('text') description!: string;
  @Column('text') state!: VmSnapshotState;
  /** The snapshot that the VM stood on when it was taken. */
  @Column(nullableUuid) parentId!: string | null;
  @Column('text') quiesce!: CreateVmSnapshot['quiesce'];
  @Column({ type: 'boolean', nullable: true }) quiesced!: boolean | null;
  @Column({ type: 'integer', nullable: true }) frozenMs!: number | null;
  @Column(nullableMoment) frozenAt!: Date | null;
  /** The operation that takes it. */
  @Column('uuid') operationId!: string;
  @Column(nullableJson) error!: ErrorData | null;
  @Column(moment) createdAt!: Date;
}

/** The layer that, with what backs it, holds a volume's content at a snapshot: a pin while the snapshot is Ready. */
@Entity('vm_snapshot_volume')
export class VmSnapshotVolumeEntity {
  @ForeignKey(() => VmSnapshotEntity)
  @PrimaryColumn('uuid')
  snapshotId!: string;
  @ForeignKey(() => VolumeEntity)
  @Index('vm_snapshot_volume_volume_idx')
  @PrimaryColumn('uuid')
  volumeId!: string;
  /** Where the volume was attached then. */
  @Column('text') target!: string;
  @Column('text') pinnedPath!: string;
}

/**
 * A layer of ours that tracks nothing for a backup: made by a snapshot or a revert, or a delta whose volume was reverted.
 * It may go whenever no snapshot and no branch needs it. The row goes with the file.
 */
@Entity('volume_overlay')
export class VolumeOverlayEntity {
  @PrimaryColumn('uuid') id!: string;
  @Index('volume_overlay_vm_idx') @Column('uuid') vmId!: string;
  @ForeignKey(() => VolumeEntity)
  @Column('uuid')
  volumeId!: string;
  /** The snapshot on whose layer it lies directly. */
  @Column(nullableUuid) snapshotId!: string | null;
  @Column('text') path!: string;
  @Column(nullableBigint) inode!: bigint | null;
  /** `Leftover`: of a snapshot or revert that failed, to be merged or removed. */
  @Column('text') state!: DeltaState;
  /** A revert of ours took it out of the chain that the VM uses: only such a layer may be judged while it is not in the chain. */
  @Column({ type: 'boolean', default: false }) branch!: boolean;
  /** The operation that made it. */
  @Column(nullableUuid) operationId!: string | null;
}
