/** Backup schedules, and which of them made a backup. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `CREATE TABLE "backup_schedule" ("id" uuid NOT NULL, "vm_id" uuid NOT NULL, "name" text NOT NULL, "when" text NOT NULL, "time_zone" text NOT NULL, "jitter_seconds" integer NOT NULL, "quiesce" text NOT NULL, "isolated" boolean NOT NULL, "retention" jsonb, "enabled" boolean NOT NULL, "catch_up" boolean NOT NULL, "fire_at" TIMESTAMP(3) WITH TIME ZONE, "next_run_at" TIMESTAMP(3) WITH TIME ZONE, "last_run_at" TIMESTAMP(3) WITH TIME ZONE, "last_backup_id" uuid, "last_error" jsonb, "retention_due_at" TIMESTAMP(3) WITH TIME ZONE, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "backup_schedule_name_key" UNIQUE ("vm_id", "name"), CONSTRAINT "PK_45d8f7ee9bb3e91ca65c7df5dd6" PRIMARY KEY ("id"))`,
  `CREATE INDEX "backup_schedule_due_idx" ON "backup_schedule" ("next_run_at") WHERE next_run_at IS NOT NULL`,
  `CREATE INDEX "backup_schedule_retention_idx" ON "backup_schedule" ("retention_due_at") WHERE retention_due_at IS NOT NULL`,
  `ALTER TABLE "backup" ADD "schedule_id" uuid`,
  `CREATE INDEX "backup_of_schedule_idx" ON "backup" ("schedule_id")`,
  `ALTER TABLE "backup_schedule" ADD CONSTRAINT "FK_b1fa793310f67f2f01e0bb7a180" FOREIGN KEY ("vm_id") REFERENCES "vm"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
];

export class Schedules1763700000003 implements MigrationInterface {
  readonly name = 'Schedules1763700000003';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('Schedules are not taken away: restore the database of before instead.');
  }
}
