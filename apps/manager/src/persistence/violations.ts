/** Tells apart what PostgreSQL refused: decided by SQLSTATE and constraint name, never by text. */
import { QueryFailedError } from 'typeorm';

interface DriverError {
  code?: string;
  constraint?: string;
}

function driverError(error: unknown): DriverError | undefined {
  return error instanceof QueryFailedError ? (error.driverError as DriverError) : undefined;
}

/** The name of the unique constraint that was violated; undefined for anything else. */
export function violatedUnique(error: unknown): string | undefined {
  const driver = driverError(error);
  return driver?.code === '23505' ? (driver.constraint ?? '') : undefined;
}

/** True when a row that is still referenced was to be deleted, or one that is gone was referenced. */
export function isForeignKeyViolation(error: unknown): boolean {
  return driverError(error)?.code === '23503';
}
