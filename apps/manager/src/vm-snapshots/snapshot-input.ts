/** What operations on VM snapshots were asked to do. */
import { z } from 'zod';

export const takeSnapshotInputSchema = z.object({
  /** Null: all volumes that are attached when it is taken. */
  targets: z.array(z.string()).nullable(),
});
export type TakeSnapshotInput = z.infer<typeof takeSnapshotInputSchema>;

/** `snapshotId` of ours, or the name of one that libvirt keeps record of. */
export const revertSnapshotInputSchema = z.object({ snapshotId: z.uuid().nullable(), libvirtName: z.string().nullable() });
export type RevertSnapshotInput = z.infer<typeof revertSnapshotInputSchema>;

/** `snapshotId` null: only records of libvirt go. */
export const deleteSnapshotsInputSchema = z.object({ snapshotId: z.uuid().nullable(), libvirtNames: z.array(z.string()) });
export type DeleteSnapshotsInput = z.infer<typeof deleteSnapshotsInputSchema>;
