/** The handlers of all kinds. Fails at start-up, not in the night, when one is missing. */
import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { operationKindSchema, type OperationKind } from '@holdfast/shared/api/operations.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { OperationHandler } from './operation-handler.js';

@Injectable()
export class OperationHandlers implements OnApplicationBootstrap {
  private readonly handlers = new Map<OperationKind, OperationHandler>();

  register(handler: OperationHandler): void {
    if (this.handlers.has(handler.kind)) throw new HoldfastError('BUG', `Two handlers for ${handler.kind}.`);
    this.handlers.set(handler.kind, handler);
  }

  of(kind: OperationKind): OperationHandler {
    const handler = this.handlers.get(kind);
    if (handler === undefined) throw new HoldfastError('BUG', `No handler for ${kind}.`);
    return handler;
  }

  onApplicationBootstrap(): void {
    for (const kind of operationKindSchema.options) this.of(kind);
  }
}
