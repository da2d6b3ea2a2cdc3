/** The plan of a clean-up as data, beside its words. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class PlannedChanges1763700000007 implements MigrationInterface {
  readonly name = 'PlannedChanges1763700000007';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "operation" ADD "planned" jsonb`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "operation" DROP COLUMN "planned"`);
  }
}
