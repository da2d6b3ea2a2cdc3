/**
 * How an operation ends: as its agent told, refused, lost, or without a host. Owns that the end, what it means and the freeing
 * of the VM are one transaction under the VM's lock. What an end means is the handler's.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation } from '../agents/agent-types.js';
import { Logger } from '../events/logger.js';
import { lockVm } from '../inventory/vm-lookup.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { Clock } from '../platform/clock.js';
import type { OperationHandler, Preparation } from './operation-handler.js';
import { OperationQueue, type Claim } from './operation-queue.js';

@Injectable()
export class OperationEnds {
  constructor(
    private readonly dataSource: DataSource,
    private readonly queue: OperationQueue,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** The agent has told how it ended. */
  async asTold(operation: OperationEntity, claim: Claim, handler: OperationHandler, outcome: AgentOperation): Promise<void> {
    await this.finish(operation, async (manager, vm) => {
      await handler.applyOutcome(manager, operation, vm, outcome);
      const cleanup = outcome.result?.kind === 'cleanupBackupError' ? outcome.result.value : undefined;
      await this.queue.write(manager, claim, {
        state: outcome.state,
        steps: outcome.steps,
        progress: outcome.progress,
        warnings: [...outcome.warnings],
        error: outcome.error as object | null,
        plan: cleanup === undefined ? null : [...cleanup.plan],
        planned: cleanup === undefined ? null : [...cleanup.planned],
        agentRevision: outcome.revision,
        waitingFor: null,
        finishedAt: this.clock.now(),
      });
    });
  }

  /** Nothing was begun. */
  async refused(operation: OperationEntity, claim: Claim, handler: OperationHandler, error: HoldfastError): Promise<void> {
    await this.finish(operation, async (manager, vm) => {
      await handler.applyRefusal(manager, operation, vm, error);
      await this.writeEnd(manager, claim, error.code === 'CANCELLED' ? 'Cancelled' : 'Failed', error);
    });
  }

  /** Said honestly: the agent has lost what it did. Nothing is known but what the disks show. */
  async lost(operation: OperationEntity, claim: Claim, handler: OperationHandler, why: string): Promise<void> {
    const error = new HoldfastError(
      'INTERRUPTED',
      `What came of operation ${operation.id} is not known: ${why}. The VM's disks are looked at and brought to rest by themselves.`,
      { operationId: operation.id, hostId: operation.hostId ?? '' },
    );
    await this.finish(operation, async (manager, vm) => {
      await handler.applyLoss(manager, operation, vm, error);
      await this.writeEnd(manager, claim, 'Failed', error);
    });
  }

  /** Nothing was to be done on a host. */
  async locally(operation: OperationEntity, claim: Claim, prepared: Extract<Preparation, { kind: 'done' }>): Promise<void> {
    await this.finish(operation, async (manager, vm) => {
      await prepared.record(manager, vm);
      const now = this.clock.now();
      await this.queue.write(manager, claim, {
        state: 'Succeeded',
        plan: [...prepared.plan],
        waitingFor: null,
        startedAt: now,
        finishedAt: now,
      });
    });
  }

  /** One transaction under the VM's lock: what the end means, the end itself, and the VM free again. */
  private async finish(
    operation: OperationEntity,
    write: (manager: EntityManager, vm: VmEntity) => Promise<void>,
  ): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      const vm = await lockVm(manager, operation.vmId);
      await write(manager, vm);
      await manager.update(VmEntity, { id: vm.id, activeOperationId: operation.id }, { activeOperationId: null });
    });
    this.logger.info('operation finished', { operationId: operation.id, kind: operation.kind, vmId: operation.vmId });
  }

  private writeEnd(manager: EntityManager, claim: Claim, state: 'Failed' | 'Cancelled', error: HoldfastError): Promise<void> {
    return this.queue.write(manager, claim, {
      state,
      error: error.toData() as object,
      waitingFor: null,
      finishedAt: this.clock.now(),
    });
  }
}
