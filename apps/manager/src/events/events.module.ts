/** The log, for every module. */
import { Global, Module } from '@nestjs/common';
import { AuditLog } from './audit-log.js';
import { Logger } from './logger.js';

@Global()
@Module({ providers: [{ provide: Logger, useFactory: () => new Logger() }, AuditLog], exports: [Logger, AuditLog] })
export class EventsModule {}
