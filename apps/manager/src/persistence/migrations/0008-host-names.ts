/** What the machine of a host calls itself, beside the name that it has here. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class HostNames1763700000008 implements MigrationInterface {
  readonly name = 'HostNames1763700000008';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" ADD "hostname" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" DROP COLUMN "hostname"`);
  }
}
