/** Left-behind files that go only when they are named: former layers of volumes that are elsewhere now. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `ALTER TABLE "superseded_file" ADD "by_name_only" boolean`,
  // What no restore on record has left behind may be a layer of a volume that moved.
  `UPDATE "superseded_file" SET "by_name_only" = "operation_id" NOT IN (SELECT "id" FROM "operation" WHERE "kind" = 'RestoreBackup')`,
  `ALTER TABLE "superseded_file" ALTER COLUMN "by_name_only" SET NOT NULL`,
];

export class ReleasedByName1763700000011 implements MigrationInterface {
  readonly name = 'ReleasedByName1763700000011';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "superseded_file" DROP COLUMN "by_name_only"`);
  }
}
