/**
 * The first thing after a start: every guest that an unfinished operation may have left frozen or suspended is relieved,
 * before anything else is done. Owns that order; what is resumed afterwards is the runner's.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Clock } from '../clock/clock.js';
import type { LiveOperation } from './live-operation.js';
import type { OperationDriver } from './operation-driver.js';

/**
 * Relieves for all operations at once and returns when each was tried. What failed (libvirtd comes up late) is tried again
 * in the background until it succeeds or this life ends.
 */
export async function relieveAll(
  operations: readonly LiveOperation[],
  driver: OperationDriver,
  options: { readonly clock: Clock; readonly backoff: { readonly firstMs: number; readonly mostMs: number } },
): Promise<void> {
  await Promise.all(
    operations.map(async (operation) => {
      if (await tryRelieve(operation, driver)) return;
      void keepRelieving(operation, driver, options);
    }),
  );
}

async function keepRelieving(
  operation: LiveOperation,
  driver: OperationDriver,
  options: Parameters<typeof relieveAll>[2],
): Promise<void> {
  let wait = options.backoff.firstMs;
  do {
    await options.clock.sleep(wait, operation.lifeEnd.signal);
    wait = Math.min(wait * 2, options.backoff.mostMs);
  } while (!operation.stopping && !(await tryRelieve(operation, driver)));
}

async function tryRelieve(operation: LiveOperation, driver: OperationDriver): Promise<boolean> {
  try {
    await driver.relieve(operation);
    return true;
  } catch (thrown) {
    const error = HoldfastError.from(thrown);
    operation.log.error('A guest could not be relieved yet; it is tried again', { code: error.code, reason: error.message });
    return false;
  }
}
