/** The manager's log: JSON lines by winston, also for Nest. No secrets go in. */
import { Injectable, type LoggerService } from '@nestjs/common';
import winston from 'winston';

/** Facts of a log line. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

@Injectable()
export class Logger implements LoggerService {
  private readonly winston: winston.Logger;

  constructor(level = process.env['HOLDFAST_LOG_LEVEL'] ?? 'info') {
    this.winston = winston.createLogger({
      level,
      silent: level === 'silent',
      format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
      transports: [new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug', 'verbose'] })],
    });
  }

  info(message: string, fields: LogFields = {}): void {
    this.winston.info(message, fields);
  }
  /** What Nest says about itself. */
  log(message: unknown, context?: unknown): void {
    this.winston.debug(String(message), { context });
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.winston.error(String(message), plain(rest));
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.winston.warn(String(message), plain(rest));
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.winston.debug(String(message), plain(rest));
  }
}

function plain(rest: readonly unknown[]): object {
  const first = rest[0];
  return typeof first === 'object' && first !== null ? first : { context: rest.filter((part) => part !== undefined).join(' ') };
}
