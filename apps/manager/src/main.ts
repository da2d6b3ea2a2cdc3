/** The manager's program: configuration, database, services, doors; and the same in reverse order at the end. */
import './platform/small-heap.js';
import 'reflect-metadata';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { AccountsService } from './accounts/accounts.service.js';
import { writeAdminKey } from './accounts/admin-key-file.js';
import { AppModule } from './app.module.js';
import { loadConfig } from './config/load-config.js';
import { Logger } from './events/logger.js';
import { startDoors } from './gateway/start-doors.js';
import { openDatabase } from './persistence/database/database.js';

async function run(logger: Logger): Promise<void> {
  const config = await loadConfig(process.env);
  // PostgreSQL runs as another user and has to get through; what is secret has folders and files of its own.
  await mkdir(config.dataDir, { recursive: true, mode: 0o755 });
  const database = await openDatabase(config, (line) => logger.info(line));
  const app = await NestFactory.create(AppModule.of(config, database), { logger, bufferLogs: false, abortOnError: false });
  const keyFile = join(config.dataDir, 'admin.key');
  if ((await app.get(AccountsService).createFirstKey((secret) => writeAdminKey(keyFile, secret))) !== undefined) {
    logger.info('made the first administrator key', { path: keyFile });
  }
  const doors = await startDoors(app);
  logger.info('holdfast-manager is up', { restPort: doors.restPort, grpcPort: doors.grpcPort, pid: process.pid });

  let ending = false;
  const end = (signal: string): void => {
    if (ending) return;
    ending = true;
    logger.info('ending', { signal });
    void (async () => {
      await doors.close();
      await app.close();
      await database.close();
      process.exit(0);
    })().catch((error: unknown) => {
      logger.error('ending failed', { reason: String(error) });
      process.exit(1);
    });
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
}

const logger = new Logger();
run(logger).catch((error: unknown) => {
  // A configuration that is wrong is said in one sentence; anything else with all that is known.
  const known = error instanceof HoldfastError && error.code !== 'BUG';
  logger.error(
    known ? error.message : 'the manager cannot start',
    known
      ? { code: error.code, ...error.fields }
      : { reason: error instanceof Error ? (error.stack ?? error.message) : String(error) },
  );
  process.exit(known ? 2 : 1);
});
