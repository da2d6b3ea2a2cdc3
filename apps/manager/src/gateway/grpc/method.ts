/** What a gRPC method is here: a permission and a handler. The table of all of them is complete at compile time. */
import type { ManagerService } from '@holdfast/shared/wire/generated/holdfast/manager/v1/manager.js';
import { z } from 'zod';
import { pageQuerySchema, type PageQuery } from '@holdfast/shared/api/common.js';
import type { PageRequest } from '@holdfast/shared/wire/generated/holdfast/manager/v1/common.js';
import type { Caller } from '../../access/caller.js';
import type { Permission } from '../access/permissions.js';
import { InvalidInput, parseInput } from '../errors/invalid-input.js';

export type Service = typeof ManagerService;
export type MethodName = keyof Service;
type StreamName = { [M in MethodName]: Service[M]['responseStream'] extends true ? M : never }[MethodName];
export type RequestOf<M extends MethodName> = ReturnType<Service[M]['requestDeserialize']>;
export type ResponseOf<M extends MethodName> = ReturnType<Service[M]['responseDeserialize']>;

export interface UnaryMethod<Request, Response> {
  readonly permission: Permission;
  readonly answer: (caller: Caller, request: Request) => Promise<Response>;
}

export interface StreamMethod<Request, Response> {
  readonly permission: Permission;
  readonly stream: (caller: Caller, request: Request, signal: AbortSignal) => AsyncIterable<Response>;
}

export type MethodTable = {
  readonly [M in MethodName]: M extends StreamName
    ? StreamMethod<RequestOf<M>, ResponseOf<M>>
    : UnaryMethod<RequestOf<M>, ResponseOf<M>>;
};

/** A part of the table. */
export type Methods<M extends MethodName> = Pick<MethodTable, M>;

/** An id of a request; INVALID_INPUT naming the field when it is none. */
export function idOf(field: string, value: string): string {
  if (!z.uuid().safeParse(value).success)
    throw new InvalidInput([{ path: field, message: value === '' ? 'it is missing' : 'it is not a UUID' }]);
  return value;
}

/** The page that is asked for. */
export function pageOf(page: PageRequest | undefined): PageQuery {
  return parseInput(pageQuerySchema, { limit: page?.limit || undefined, after: page?.after || undefined });
}
