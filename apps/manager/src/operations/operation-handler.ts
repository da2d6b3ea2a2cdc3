/**
 * What a kind of operation has to know: how it is planned, and what its outcome means for what is recorded. Everything else
 * (leases, sending, watching, re-attaching, cancelling) is the same for all kinds and is the follower's.
 */
import type { EntityManager } from 'typeorm';
import type { OperationKind } from '@holdfast/shared/api/operations.js';
import type { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { AgentOperation } from '../agents/agent-types.js';
import type { AgentCommand } from '../persistence/agent-command.js';
import type { OperationEntity } from '../persistence/entities/operation.entity.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';

/** What planning came to. A refusal is thrown. */
export type Preparation =
  /** Not now; tried again. `reason` is shown: "the host "a" to answer". */
  | { readonly kind: 'wait'; readonly reason: string }
  /** Nothing to do on a host. `record` runs in the transaction that ends the operation, and may refuse as that of `send`. */
  | {
      readonly kind: 'done';
      readonly plan: readonly string[];
      readonly record: (manager: EntityManager, vm: VmEntity) => Promise<void>;
    }
  /**
   * To be sent to a host. `record` writes the intended paths in the transaction that stores the command, before it is sent. It
   * has the VM's lock, which planning had not: what must still be true is looked at there. It refuses as `prepare` does, or
   * throws PLAN_OUTDATED to be planned again.
   */
  | {
      readonly kind: 'send';
      readonly hostId: string;
      readonly command: AgentCommand;
      readonly record: (manager: EntityManager, vm: VmEntity) => Promise<void>;
    };

export interface OperationHandler {
  readonly kind: OperationKind;
  /** Looks and decides; changes nothing. Called again after PLAN_OUTDATED. */
  prepare(operation: OperationEntity): Promise<Preparation>;
  /** The agent is finished, well or not. Runs in the transaction that ends the operation, with the VM's row locked. */
  applyOutcome(manager: EntityManager, operation: OperationEntity, vm: VmEntity, outcome: AgentOperation): Promise<void>;
  /**
   * For a kind whose work stays done when it ends in the middle, so that a new plan goes on from there: what an attempt did before
   * its plan turned out to be outdated. Runs in the transaction that forgets that plan, with the VM's row locked. A kind without
   * it is planned again only after an attempt that changed nothing; else it fails.
   */
  recordAttempt?(manager: EntityManager, vm: VmEntity, outcome: AgentOperation): Promise<void>;
  /** Nothing was done on a host: refused, or cancelled before it began. Also takes back what `record` wrote. */
  applyRefusal(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void>;
  /** The agent accepted it and does not know it any more: what it did has to be found out. */
  applyLoss(manager: EntityManager, operation: OperationEntity, vm: VmEntity, error: HoldfastError): Promise<void>;
}
