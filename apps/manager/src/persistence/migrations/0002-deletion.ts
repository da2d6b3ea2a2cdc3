/** Deleting backups: protection, who deleted one, when a failed deletion is tried again, when one was gone. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `ALTER TABLE "backup" ADD "protected" boolean NOT NULL DEFAULT false`,
  `ALTER TABLE "backup" ADD "delete_operation_id" uuid`,
  `ALTER TABLE "backup" ADD "delete_attempts" integer NOT NULL DEFAULT '0'`,
  `ALTER TABLE "backup" ADD "delete_not_before" TIMESTAMP(3) WITH TIME ZONE`,
  `ALTER TABLE "backup" ADD "expunged_at" TIMESTAMP(3) WITH TIME ZONE`,
  `CREATE INDEX "backup_delete_failed_idx" ON "backup" ("vm_id") WHERE state = 'DeleteFailed'`,
  `CREATE INDEX "backup_expunged_idx" ON "backup" ("expunged_at") WHERE state = 'Expunged'`,
];

export class Deletion1763700000002 implements MigrationInterface {
  readonly name = 'Deletion1763700000002';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('What was deleted and what is protected would be forgotten: restore the database from before instead.');
  }
}
