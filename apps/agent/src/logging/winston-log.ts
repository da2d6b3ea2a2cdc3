/** The agent's log by winston: one line per message on standard output, JSON or text. Owns the form; secrets never come here. */
import winston from 'winston';
import type { Log } from './log.js';

/** A log at this level and above. */
export function winstonLog(level: 'error' | 'warn' | 'info' | 'debug', form: 'json' | 'text'): Log {
  const { combine, timestamp, json, printf } = winston.format;
  const text = printf(
    ({ timestamp: time, level: of, message, ...fields }) => `${String(time)} ${of} ${String(message)} ${asJson(fields)}`,
  );
  const logger = winston.createLogger({
    level,
    format: combine(timestamp(), form === 'json' ? json({ replacer: bigintAsText }) : text),
    transports: [new winston.transports.Console()],
  });
  return {
    debug: (message, fields) => void logger.debug(message, fields),
    info: (message, fields) => void logger.info(message, fields),
    warn: (message, fields) => void logger.warn(message, fields),
    error: (message, fields) => void logger.error(message, fields),
  };
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

function asJson(fields: object): string {
  return Object.keys(fields).length === 0 ? '' : JSON.stringify(fields, bigintAsText);
}
