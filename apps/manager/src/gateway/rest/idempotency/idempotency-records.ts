/**
 * Remembers requests by their Idempotency-Key, so that a repetition is answered and not done again.
 * Owns the table's meaning; knows nothing of HTTP.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { DataSource, IsNull, LessThan } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { IdempotencyRecordEntity } from '../../../persistence/entities/idempotency.entity.js';
import { Clock } from '../../../platform/clock.js';

/** How long a key is remembered. */
const REMEMBER_MS = 24 * 3600_000;
/** A claim that was not renewed so long was left by a manager that died. */
const CLAIM_MS = 300_000;
/** Often enough that a claim outlives a database that is away for a while. */
const RENEW_MS = 30_000;
/** How long a repetition waits for the first request before it is told to come back. */
const WAIT_MS = 20_000;
const POLL_MS = 100;

export interface RequestKey {
  /** Whose key it is. */
  readonly scope: string;
  /** SHA-256, hex. */
  readonly keyHash: string;
  readonly requestHash: string;
}

/** `answer`: what the first request was answered; undefined: this is the first, act and then {@link IdempotencyRecords.finish} or release. */
export interface Claim {
  readonly answer: Buffer | undefined;
}

@Injectable()
export class IdempotencyRecords {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
  ) {}

  /**
   * Claims a key for its first request, or finds the answer of that. Waits for a request that runs.
   * IDEMPOTENCY_KEY_REUSED for another request, REQUEST_IN_PROGRESS when the first takes long,
   * WRONG_STATE when nobody can say any more what came of it.
   */
  async claim(key: RequestKey): Promise<Claim> {
    await this.dataSource.manager.delete(IdempotencyRecordEntity, {
      createdAt: LessThan(new Date(this.clock.now().getTime() - REMEMBER_MS)),
    });
    const giveUp = this.clock.now().getTime() + WAIT_MS;
    for (;;) {
      if (await this.insert(key)) return { answer: undefined };
      const row = await this.dataSource.manager.findOneBy(IdempotencyRecordEntity, { scope: key.scope, keyHash: key.keyHash });
      // Released in between: the first request failed and this one is the first now.
      if (row === null) continue;
      if (row.requestHash !== key.requestHash) {
        throw new HoldfastError(
          'IDEMPOTENCY_KEY_REUSED',
          'This Idempotency-Key was used for another request. Use a new key for a new request.',
        );
      }
      if (row.answer !== null) return { answer: row.answer };
      const now = this.clock.now().getTime();
      if (row.runningUntil.getTime() < now) {
        throw new HoldfastError(
          'WRONG_STATE',
          'The manager stopped while it worked on the first request with this Idempotency-Key. Look whether it was done, and if not send it again with a new key.',
        );
      }
      if (now >= giveUp) {
        throw new HoldfastError(
          'REQUEST_IN_PROGRESS',
          'The first request with this Idempotency-Key still runs. Send it again in a few seconds.',
        );
      }
      await sleep(POLL_MS);
    }
  }

  /** Keeps a claim alive while its request runs, however long: a check of a large storage takes its time. Returns the end of it. */
  keep(key: RequestKey, everyMs = RENEW_MS): () => void {
    const timer = setInterval(() => {
      const runningUntil = new Date(this.clock.now().getTime() + CLAIM_MS);
      this.dataSource.manager
        .update(IdempotencyRecordEntity, { scope: key.scope, keyHash: key.keyHash, answer: IsNull() }, { runningUntil })
        // The next one may arrive; the claim lasts for several.
        .catch(() => undefined);
    }, everyMs);
    return () => clearInterval(timer);
  }

  /** Records the answer of a claimed request. */
  async finish(key: RequestKey, answer: Buffer): Promise<void> {
    await this.dataSource.manager.update(
      IdempotencyRecordEntity,
      { scope: key.scope, keyHash: key.keyHash, answer: IsNull() },
      { answer },
    );
  }

  /** A claimed request failed and changed nothing: the key is free again. */
  async release(key: RequestKey): Promise<void> {
    await this.dataSource.manager.delete(IdempotencyRecordEntity, { scope: key.scope, keyHash: key.keyHash, answer: IsNull() });
  }

  private async insert(key: RequestKey): Promise<boolean> {
    const now = this.clock.now();
    const inserted = await this.dataSource.manager
      .createQueryBuilder()
      .insert()
      .into(IdempotencyRecordEntity)
      .values({ ...key, answer: null, createdAt: now, runningUntil: new Date(now.getTime() + CLAIM_MS) })
      .orIgnore()
      .returning('scope')
      .execute();
    return (inserted.raw as unknown[]).length > 0;
  }
}
