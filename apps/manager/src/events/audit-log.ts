/** One log line per changing call: who did what to which thing. */
import { Injectable } from '@nestjs/common';
import type { Caller } from '../access/caller.js';
import { Logger } from './logger.js';

@Injectable()
export class AuditLog {
  constructor(private readonly logger: Logger) {}

  /** `action` is `<resource>.<verb>`; `fields` are ids and names, never secrets. */
  changed(caller: Caller | undefined, action: string, fields: Readonly<Record<string, string>>): void {
    this.logger.info(`audit ${action}`, {
      audit: action,
      apiKeyId: caller?.apiKeyId,
      accountId: caller?.accountId,
      role: caller?.role,
      ...fields,
    });
  }
}
