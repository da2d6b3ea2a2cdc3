/** ReleaseFiles: deletes files that a restore left behind. The agent proves first that nothing uses them. */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { hostProblem, requireHost } from '../inventory/host-lookup.js';
import type { OperationHandler, Preparation } from '../operations/operation-handler.js';
import { OperationHandlers } from '../operations/operation-handlers.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { SupersededFileEntity, type VmEntity } from '../persistence/entities/vm.entities.js';

@Injectable()
export class ReleaseFilesHandler implements OperationHandler {
  readonly kind = 'ReleaseFiles';

  constructor(
    private readonly dataSource: DataSource,
    handlers: OperationHandlers,
  ) {
    handlers.register(this);
  }

  async prepare(operation: OperationEntity): Promise<Preparation> {
    const files = await this.dataSource.manager.find(SupersededFileEntity, {
      where: { releaseOperationId: operation.id },
      order: { path: 'ASC' },
    });
    const hostId = files[0]?.hostId;
    if (hostId === undefined) return { kind: 'done', plan: ['nothing is left to release'], record: async () => {} };
    const problem = hostProblem(await requireHost(this.dataSource.manager, hostId));
    if (problem !== undefined) return { kind: 'wait', reason: problem.message };
    return {
      kind: 'send',
      hostId,
      command: { kind: 'releaseFiles', request: { paths: files.map((file) => file.path) } },
      record: async () => {},
    };
  }

  async applyOutcome(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, outcome: AgentOperation): Promise<void> {
    if (outcome.state === 'Succeeded') await manager.delete(SupersededFileEntity, { releaseOperationId: operation.id });
    else await this.keep(manager, operation);
  }

  async applyRefusal(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, _error: HoldfastError): Promise<void> {
    await this.keep(manager, operation);
  }

  async applyLoss(manager: EntityManager, operation: OperationEntity, _vm: VmEntity, _error: HoldfastError): Promise<void> {
    await this.keep(manager, operation);
  }

  /** They may be released again. */
  private async keep(manager: EntityManager, operation: OperationEntity): Promise<void> {
    await manager.update(SupersededFileEntity, { releaseOperationId: operation.id }, { releaseOperationId: null });
  }
}
