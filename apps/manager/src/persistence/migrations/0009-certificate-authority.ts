/** Which certificate authority the hosts trust: managers of one database must have the same. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

export class CertificateAuthority1763700000009 implements MigrationInterface {
  readonly name = 'CertificateAuthority1763700000009';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE TABLE "certificate_authority" ("id" smallint NOT NULL, "fingerprint" text NOT NULL, "known_since" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "certificate_authority_one_check" CHECK (id = 1), CONSTRAINT "PK_ab6b363094e3dcf2ce47dc54f52" PRIMARY KEY ("id"))`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "certificate_authority"`);
  }
}
