/** Serves holdfast.manager.v1 with the method table: keys, permissions, errors and streams. Holds no rules. */
import { randomUUID } from 'node:crypto';
import {
  Metadata,
  Server,
  type sendUnaryData,
  type ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { Injectable } from '@nestjs/common';
import { HealthImplementation } from 'grpc-health-check';
import { ERROR_METADATA_KEY, toWireError } from '@holdfast/shared/wire/grpc-error.js';
import { ManagerService } from '@holdfast/shared/wire/generated/holdfast/manager/v1/manager.js';
import { Logger } from '../../events/logger.js';
import { Authorizer } from '../access/authorizer.js';
import { toHoldfastError } from '../errors/to-holdfast-error.js';
import { ManagerServices } from './manager-services.js';
import type { StreamMethod, UnaryMethod } from './method.js';
import { methodTable } from './method-table.js';
import { managerReflection } from './reflection.js';

/** How long calls may go on after the server was asked to stop. */
const GRACE_MS = 2000;

@Injectable()
export class ManagerGrpcServer {
  constructor(
    private readonly services: ManagerServices,
    private readonly authorizer: Authorizer,
    private readonly logger: Logger,
  ) {}

  /** Listens on `address` (host:port, port 0 takes a free one) and says on which port. `stop` ends calls and streams. */
  async start(address: string, credentials: ServerCredentials): Promise<{ port: number; stop: () => Promise<void> }> {
    const server = new Server();
    server.addService(ManagerService, this.implementation());
    new HealthImplementation({ '': 'SERVING', 'holdfast.manager.v1.Manager': 'SERVING' }).addToServer(server);
    (await managerReflection()).addToServer(server);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
    });
    const stop = (): Promise<void> =>
      new Promise((resolve) => {
        const force = setTimeout(() => server.forceShutdown(), GRACE_MS);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
    return { port, stop };
  }

  private implementation(): UntypedServiceImplementation {
    const handlers: UntypedServiceImplementation = {};
    for (const [name, method] of Object.entries(methodTable(this.services))) {
      handlers[name] =
        'stream' in method
          ? this.stream(name, method as StreamMethod<unknown, unknown>)
          : this.unary(name, method as UnaryMethod<unknown, unknown>);
    }
    return handlers;
  }

  private unary(name: string, method: UnaryMethod<unknown, unknown>) {
    return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>): void => {
      this.authorizer
        .authorize(authorizationOf(call.metadata), method.permission)
        .then((caller) => method.answer(caller, call.request))
        .then(
          (answer) => callback(null, answer),
          (error: unknown) => callback(this.failure(name, error)),
        );
    };
  }

  private stream(name: string, method: StreamMethod<unknown, unknown>) {
    return (call: ServerWritableStream<unknown, unknown>): void => {
      const left = new AbortController();
      call.on('cancelled', () => left.abort());
      this.sendAll(call, method, left.signal).then(
        () => call.end(),
        (error: unknown) => {
          if (!left.signal.aborted) call.emit('error', this.failure(name, error));
        },
      );
    };
  }

  private async sendAll(
    call: ServerWritableStream<unknown, unknown>,
    method: StreamMethod<unknown, unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    const caller = await this.authorizer.authorize(authorizationOf(call.metadata), method.permission);
    for await (const message of method.stream(caller, call.request, signal)) {
      if (!call.write(message)) await drained(call, signal);
    }
  }

  private failure(method: string, thrown: unknown) {
    const reference = randomUUID();
    const error = toHoldfastError(thrown, reference);
    if (error.code === 'BUG') {
      this.logger.error('call failed', {
        reference,
        method,
        reason: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
      });
    }
    const { code, details, bytes } = toWireError(error);
    const metadata = new Metadata();
    metadata.set(ERROR_METADATA_KEY, Buffer.from(bytes));
    return { code, details, metadata };
  }
}

function authorizationOf(metadata: Metadata): string | undefined {
  const [value] = metadata.get('authorization');
  return typeof value === 'string' ? value : undefined;
}

function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
