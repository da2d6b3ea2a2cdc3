/** The first tables. Never edited once released: a change is a new migration. */
import type { MigrationInterface, QueryRunner } from 'typeorm';

const STATEMENTS = [
  `CREATE TABLE "account" ("id" uuid NOT NULL, "name" text NOT NULL, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "account_name_key" UNIQUE ("name"), CONSTRAINT "PK_54115ee388cdb6d86bb4bf5b2ea" PRIMARY KEY ("id"))`,
  `CREATE TABLE "api_key" ("id" uuid NOT NULL, "name" text NOT NULL, "role" text NOT NULL, "account_id" uuid NOT NULL, "secret_hash" text NOT NULL, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "expires_at" TIMESTAMP(3) WITH TIME ZONE, CONSTRAINT "api_key_secret_hash_key" UNIQUE ("secret_hash"), CONSTRAINT "PK_b1bd840641b8acbaad89c3d8d11" PRIMARY KEY ("id"))`,
  `CREATE INDEX "api_key_account_idx" ON "api_key"  ("account_id") `,
  `CREATE TABLE "setting_override" ("name" text NOT NULL, "scope" text NOT NULL, "scope_id" uuid NOT NULL, "value" text NOT NULL, CONSTRAINT "PK_02b67967aa24c0619322dabc09f" PRIMARY KEY ("name", "scope", "scope_id"))`,
  `CREATE TABLE "zone" ("id" uuid NOT NULL, "name" text NOT NULL, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "zone_name_key" UNIQUE ("name"), CONSTRAINT "PK_bd3989e5a3c3fb5ed546dfaf832" PRIMARY KEY ("id"))`,
  `CREATE TABLE "host" ("id" uuid NOT NULL, "zone_id" uuid NOT NULL, "name" text NOT NULL, "address" text NOT NULL, "state" text NOT NULL, "state_reason" text, "enabled" boolean NOT NULL, "agent_version" text, "libvirt_version" text, "qemu_version" text, "primary_pools" jsonb NOT NULL, "max_concurrent_operations" integer NOT NULL, "last_seen_at" TIMESTAMP(3) WITH TIME ZONE, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "watcher" uuid, "watcher_until" TIMESTAMP(3) WITH TIME ZONE, CONSTRAINT "host_address_key" UNIQUE ("address"), CONSTRAINT "host_name_key" UNIQUE ("name"), CONSTRAINT "PK_44424c24c2f9b1d7bbf8721f4c4" PRIMARY KEY ("id"))`,
  `CREATE INDEX "host_zone_idx" ON "host"  ("zone_id") `,
  `CREATE TABLE "join_token" ("id" uuid NOT NULL, "zone_id" uuid NOT NULL, "secret_hash" text NOT NULL, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "expires_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "used_at" TIMESTAMP(3) WITH TIME ZONE, "used_by_host_id" uuid, CONSTRAINT "join_token_secret_hash_key" UNIQUE ("secret_hash"), CONSTRAINT "PK_228f2cfeda54c8dcf78355543ac" PRIMARY KEY ("id"))`,
  `CREATE TABLE "storage" ("id" uuid NOT NULL, "zone_id" uuid NOT NULL, "name" text NOT NULL, "type" text NOT NULL, "source" text NOT NULL, "options" text NOT NULL, "read_only" boolean NOT NULL, "total_bytes" bigint, "free_bytes" bigint, "problem" jsonb, "checked_at" TIMESTAMP(3) WITH TIME ZONE, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "storage_source_key" UNIQUE ("zone_id", "type", "source"), CONSTRAINT "storage_name_key" UNIQUE ("zone_id", "name"), CONSTRAINT "PK_f9b67a9921474d86492aad2e027" PRIMARY KEY ("id"))`,
  `CREATE INDEX "storage_zone_idx" ON "storage"  ("zone_id") `,
  `CREATE TABLE "backup" ("id" uuid NOT NULL, "seq" BIGSERIAL NOT NULL, "vm_id" uuid NOT NULL, "vm_name" text NOT NULL, "account_id" uuid, "name" text NOT NULL, "description" text NOT NULL, "state" text NOT NULL, "type" text NOT NULL, "full_reason" text, "isolated" boolean NOT NULL, "end_of_chain" boolean NOT NULL, "quiesce" text NOT NULL, "quiesced" boolean, "frozen_ms" integer, "parent_id" uuid, "storage_id" uuid NOT NULL, "storage_reason" text NOT NULL, "frozen_at" TIMESTAMP(3) WITH TIME ZONE, "size_bytes" bigint, "operation_id" uuid, "error" jsonb, "warnings" jsonb NOT NULL, "leftovers_on_storage" boolean NOT NULL DEFAULT false, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "finished_at" TIMESTAMP(3) WITH TIME ZONE, CONSTRAINT "PK_a36efb941271c1c6cbbbcbd057d" PRIMARY KEY ("id"))`,
  `CREATE UNIQUE INDEX "backup_seq_key" ON "backup"  ("seq") `,
  `CREATE INDEX "backup_account_idx" ON "backup"  ("account_id") `,
  `CREATE INDEX "backup_parent_idx" ON "backup"  ("parent_id") `,
  `CREATE INDEX "backup_storage_idx" ON "backup"  ("storage_id") `,
  `CREATE INDEX "backup_vm_idx" ON "backup"  ("vm_id", "seq") `,
  `CREATE TABLE "backup_volume" ("backup_id" uuid NOT NULL, "key" uuid NOT NULL, "target" text NOT NULL, "size_bytes" bigint, "virtual_size_bytes" bigint, "file" text NOT NULL, "parent_file" text, "digest" text, "copied_in_full" boolean NOT NULL, "copied_in_full_reason" text, CONSTRAINT "PK_b98e094304ac4e73ad1c8723bc0" PRIMARY KEY ("backup_id", "key"))`,
  `CREATE TABLE "idempotency_record" ("scope" text NOT NULL, "key_hash" text NOT NULL, "request_hash" text NOT NULL, "answer" bytea, "running_until" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "PK_f6226e77cda3165fab92e34a7ae" PRIMARY KEY ("scope", "key_hash"))`,
  `CREATE INDEX "idempotency_record_created_idx" ON "idempotency_record"  ("created_at") `,
  `CREATE TABLE "offering" ("id" uuid NOT NULL, "name" text NOT NULL, "description" text NOT NULL, "chain_size" integer, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "offering_name_key" UNIQUE ("name"), CONSTRAINT "PK_d42d2720ff82f75aae518b9347c" PRIMARY KEY ("id"))`,
  `CREATE TABLE "operation" ("id" uuid NOT NULL, "seq" BIGSERIAL NOT NULL, "kind" text NOT NULL, "state" text NOT NULL, "vm_id" uuid NOT NULL, "host_id" uuid, "backup_id" uuid, "account_id" uuid, "input" jsonb NOT NULL, "revision" bigint NOT NULL DEFAULT '0', "steps" jsonb NOT NULL, "progress" jsonb NOT NULL, "error" jsonb, "warnings" jsonb NOT NULL, "plan" jsonb, "cancel_requested" boolean NOT NULL, "waiting_for" text, "created_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "started_at" TIMESTAMP(3) WITH TIME ZONE, "finished_at" TIMESTAMP(3) WITH TIME ZONE, "run_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, "owner" uuid, "lease_until" TIMESTAMP(3) WITH TIME ZONE, "attempt" integer NOT NULL DEFAULT '0', "agent_operation_id" uuid, "request" jsonb, "accepted" boolean NOT NULL DEFAULT false, "agent_revision" bigint, "replans" integer NOT NULL DEFAULT '0', "forgotten" boolean NOT NULL DEFAULT false, CONSTRAINT "PK_18556ee6e49c005fc108078f3ab" PRIMARY KEY ("id"))`,
  `CREATE UNIQUE INDEX "operation_seq_key" ON "operation"  ("seq") `,
  `CREATE INDEX "operation_account_idx" ON "operation"  ("account_id") `,
  `CREATE INDEX "operation_vm_idx" ON "operation"  ("vm_id", "seq") `,
  `CREATE INDEX "operation_unforgotten_idx" ON "operation" ("finished_at")  WHERE accepted AND NOT forgotten AND finished_at IS NOT NULL`,
  `CREATE INDEX "operation_unfinished_host_idx" ON "operation"  ("host_id") WHERE state IN ('Queued', 'Running', 'Undoing')`,
  `CREATE INDEX "operation_unfinished_vm_idx" ON "operation"  ("vm_id", "seq") WHERE state IN ('Queued', 'Running', 'Undoing')`,
  `CREATE TABLE "vm" ("id" uuid NOT NULL, "zone_id" uuid NOT NULL, "host_id" uuid, "name" text NOT NULL, "account_id" uuid, "power_state" text NOT NULL, "protection_state" text NOT NULL, "protection_reason" jsonb, "guest_agent" boolean NOT NULL, "problems" jsonb NOT NULL, "settings" jsonb NOT NULL, "offering_id" uuid, "head_backup_id" uuid, "chain_ended_reason" text, "fencing_token" bigint NOT NULL DEFAULT '0', "active_operation_id" uuid, "cleanup_attempts" integer NOT NULL DEFAULT '0', "cleanup_not_before" TIMESTAMP(3) WITH TIME ZONE, "last_backup_at" TIMESTAMP(3) WITH TIME ZONE, "seen_at" TIMESTAMP(3) WITH TIME ZONE, CONSTRAINT "PK_3111768eccf1e167186faefd138" PRIMARY KEY ("id"))`,
  `CREATE INDEX "vm_zone_idx" ON "vm"  ("zone_id") `,
  `CREATE INDEX "vm_host_idx" ON "vm"  ("host_id") `,
  `CREATE INDEX "vm_account_idx" ON "vm"  ("account_id") `,
  `CREATE INDEX "vm_unprotected_idx" ON "vm"  ("protection_state") WHERE protection_state <> 'Ok'`,
  `CREATE INDEX "vm_offering_idx" ON "vm"  ("offering_id") `,
  `CREATE TABLE "volume" ("id" uuid NOT NULL, "vm_id" uuid NOT NULL, "target" text NOT NULL, "serial" text NOT NULL, "attached" boolean NOT NULL, "format" text NOT NULL, "virtual_size_bytes" bigint NOT NULL, "layers" jsonb NOT NULL, "base_path" text NOT NULL, "template_path" text, "intended_path" text, "refusal" jsonb, CONSTRAINT "PK_666025cd0c36727216bb7f2a680" PRIMARY KEY ("id"))`,
  `CREATE INDEX "volume_vm_idx" ON "volume"  ("vm_id") `,
  `CREATE TABLE "volume_delta" ("id" uuid NOT NULL, "vm_id" uuid NOT NULL, "volume_id" uuid NOT NULL, "backup_id" uuid NOT NULL, "path" text NOT NULL, "inode" bigint, "state" text NOT NULL, CONSTRAINT "volume_delta_backup_key" UNIQUE ("volume_id", "backup_id"), CONSTRAINT "PK_fb4a8f8f30bc1fcb700a9862792" PRIMARY KEY ("id"))`,
  `CREATE INDEX "volume_delta_vm_idx" ON "volume_delta"  ("vm_id") `,
  `CREATE TABLE "superseded_file" ("id" uuid NOT NULL, "vm_id" uuid NOT NULL, "volume_id" uuid NOT NULL, "host_id" uuid NOT NULL, "path" text NOT NULL, "operation_id" uuid NOT NULL, "release_operation_id" uuid, "superseded_at" TIMESTAMP(3) WITH TIME ZONE NOT NULL, CONSTRAINT "PK_4adf1b7a33a4c30068a6bf02d52" PRIMARY KEY ("id"))`,
  `CREATE INDEX "superseded_file_vm_idx" ON "superseded_file"  ("vm_id") `,
  `ALTER TABLE "api_key" ADD CONSTRAINT "FK_e1c10c0d45f5331063b62d9573f" FOREIGN KEY ("account_id") REFERENCES "account"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "host" ADD CONSTRAINT "FK_7e87ebed4fa4fa75fb4f5dc884a" FOREIGN KEY ("zone_id") REFERENCES "zone"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "storage" ADD CONSTRAINT "FK_b5e19108f4aa3d4f4265784dfa1" FOREIGN KEY ("zone_id") REFERENCES "zone"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "backup" ADD CONSTRAINT "FK_6476feb6bccae2eecb8b11b8e95" FOREIGN KEY ("storage_id") REFERENCES "storage"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "backup_volume" ADD CONSTRAINT "FK_fcbae83b088a4bcfe67c9a5bafc" FOREIGN KEY ("backup_id") REFERENCES "backup"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm" ADD CONSTRAINT "FK_09c8d5275ca6994fd2f3cc228e8" FOREIGN KEY ("zone_id") REFERENCES "zone"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm" ADD CONSTRAINT "FK_4fcb6fa84ca180f1295e49d84a7" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm" ADD CONSTRAINT "FK_b3f72a8db5ef794a19f68c22c1c" FOREIGN KEY ("account_id") REFERENCES "account"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "vm" ADD CONSTRAINT "FK_31f9eaac680e86e6ec64856f825" FOREIGN KEY ("offering_id") REFERENCES "offering"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "volume" ADD CONSTRAINT "FK_93b4c26c5f1d68303ed0ad3ab13" FOREIGN KEY ("vm_id") REFERENCES "vm"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "volume_delta" ADD CONSTRAINT "FK_9bdf5cb6317d6e5bb2d6570b4ae" FOREIGN KEY ("volume_id") REFERENCES "volume"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
  `ALTER TABLE "superseded_file" ADD CONSTRAINT "FK_e85c2b3d222b2ee60303655beff" FOREIGN KEY ("host_id") REFERENCES "host"("id") ON DELETE NO ACTION ON UPDATE NO ACTION`,
];

export class FirstTables1763700000001 implements MigrationInterface {
  readonly name = 'FirstTables1763700000001';

  async up(runner: QueryRunner): Promise<void> {
    for (const statement of STATEMENTS) await runner.query(statement);
  }

  async down(): Promise<void> {
    throw new Error('The first tables are not taken away: drop the database instead.');
  }
}
