/** Why a host is not up, as a code beside the words. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class HostStateCodes1763700000010 implements MigrationInterface {
  readonly name = 'HostStateCodes1763700000010';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" ADD "state_code" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "host" DROP COLUMN "state_code"`);
  }
}
