/** VM snapshots, the layers that hold them, and the overlays that snapshots and reverts make. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `CREATE TABLE "vm_snapshot" ("id" uuid NOT NULL, "seq" BIGSERIAL NOT NULL, "vm_id" uuid NOT NULL, "name" text NOT NULL, "description" text NOT NULL, "state" text NOT NULL, "parent_id" uuid, "quiesce" text NOT NULL, "quiesced" boolean, "frozen_ms" integer, "frozen_at" TIMESTAMP(3) WITH TIME ZONE, "operation_id" uuid NOT NULL, "error" jsonb, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "PK_10743a42940985b876160663cfd" PRIMARY KEY ("id"))`,
  `CREATE UNIQUE INDEX "vm_snapshot_seq_key" ON "vm_snapshot"  ("seq") `,
  `CREATE INDEX "vm_snapshot_vm_idx" ON "vm_snapshot"  ("vm_id", "seq") `,
  `CREATE TABLE "vm_snapshot_volume" ("snapshot_id" uuid NOT NULL, "volume_id" uuid NOT NULL, "target" text NOT NULL, "pinned_path" text NOT NULL, CONSTRAINT "PK_8a7b6e56d23a416e575de10c880" PRIMARY KEY ("snapshot_id", "volume_id"))`,
  `CREATE INDEX "vm_snapshot_volume_volume_idx" ON "vm_snapshot_volume"  ("volume_id") `,
  `CREATE TABLE "volume_overlay" ("id" uuid NOT NULL, "vm_id" uuid NOT NULL, "volume_id" uuid NOT NULL, "snapshot_id" uuid, "path" text NOT NULL, "inode" bigint, "state" text NOT NULL, "branch" boolean NOT NULL DEFAULT false, "operation_id" uuid, CONSTRAINT "PK_50adf9879850b4076445a08b162" PRIMARY KEY ("id"))`,
  `CREATE INDEX "volume_overlay_vm_idx" ON "volume_overlay"  ("vm_id") `,
  `ALTER TABLE "operation" ADD "vm_snapshot_id" uuid`,
  `ALTER TABLE "vm" ADD "current_snapshot_id" uuid`,
  `ALTER TABLE "vm" ADD "libvirt_snapshots" jsonb NOT NULL DEFAULT '[]'`,
  `ALTER TABLE "vm_snapshot" ADD CONSTRAINT "FK_797dda07d224b6719f4979dce42" FOREIGN KEY ("vm_id") REFERENCES "vm"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm_snapshot_volume" ADD CONSTRAINT "FK_a3f38da76dc45f3bdc5ff899cd7" FOREIGN KEY ("snapshot_id") REFERENCES "vm_snapshot"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm_snapshot_volume" ADD CONSTRAINT "FK_87ef605a1d018c1f12c65308b9a" FOREIGN KEY ("volume_id") REFERENCES "volume"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "volume_overlay" ADD CONSTRAINT "FK_2b9bf0620661b427945a6c2b8d9" FOREIGN KEY ("volume_id") REFERENCES "volume"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
];

export class VmSnapshots1763700000004 implements MigrationInterface {
  readonly name = 'VmSnapshots1763700000004';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('Records of snapshots are not thrown away: restore the database of before instead.');
  }
}
