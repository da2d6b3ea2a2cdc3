/** A provider that works in rounds from the start of the application to its end. Owns that tie, no work. */
import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from '../events/logger.js';
import { PeriodicTask } from './periodic-task.js';

export abstract class PeriodicService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly task: PeriodicTask;

  /** `name`: what the log calls the work. `pauseMs`: between the end of a round and the next one. */
  protected constructor(name: string, pauseMs: number, logger: Logger) {
    this.task = new PeriodicTask(name, pauseMs, () => this.round(), logger);
  }

  /** All that is due now. Never called twice at once by this process; other managers may do the same at the same time. */
  abstract round(): Promise<void>;

  onApplicationBootstrap(): void {
    this.task.start();
  }

  /** Resolves when the round that is under way has ended. */
  onApplicationShutdown(): Promise<void> {
    return this.task.stop();
  }
}
