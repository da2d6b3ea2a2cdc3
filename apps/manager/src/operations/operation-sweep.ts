/** Tells agents which journals they may drop, when that could not be said at the end of an operation. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentClient } from '../agents/agent-client.js';
import { AgentsService } from '../agents/agents.service.js';
import { Logger } from '../events/logger.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { OperationEntity, UNFORGOTTEN } from '../persistence/entities/operation.entity.js';
import { PeriodicService } from '../platform/periodic-service.js';

const ROUND_MS = 60_000;
const AT_ONCE = 200;

@Injectable()
export class OperationSweep extends PeriodicService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly logger: Logger,
  ) {
    super('sweep operations', ROUND_MS, logger);
  }

  /** Hosts that are down keep theirs for the next round. */
  async round(): Promise<void> {
    const manager = this.dataSource.manager;
    const left = await manager
      .createQueryBuilder(OperationEntity, 'o')
      .innerJoin(HostEntity, 'h', `h.id = o.host_id AND h.state = 'Up'`)
      .where(UNFORGOTTEN)
      .orderBy('o.finished_at', 'ASC')
      .limit(AT_ONCE)
      .getMany();
    for (const operation of left) {
      const host = await manager.findOneBy(HostEntity, { id: operation.hostId ?? '' });
      if (host === null) continue;
      try {
        await tellToForget(manager, operation, await this.agents.of(host));
      } catch (thrown) {
        // An agent that was away may still be at work on what its manager has given up; the next round asks again.
        const { message } = HoldfastError.from(thrown);
        this.logger.warn('an agent does not forget an operation yet', { operationId: operation.id, reason: message });
      }
    }
  }
}

/** An agent that does not know the operation has forgotten it already. */
export async function tellToForget(manager: EntityManager, operation: OperationEntity, agent: AgentClient): Promise<void> {
  try {
    await agent.forgetOperation(operation.agentOperationId ?? operation.id);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'NOT_FOUND') throw error;
  }
  await manager.update(OperationEntity, { id: operation.id }, { forgotten: true });
}
