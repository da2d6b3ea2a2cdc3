/** How a route says who may call it: a permission, or why it is public. A route that says neither is refused by the guard and by a test. */
import { createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import type { IncomingMessage } from 'node:http';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Caller } from '../../access/caller.js';
import type { Permission } from './permissions.js';

export const REQUIRED_PERMISSION = 'holdfast:permission';
export const PUBLIC_REASON = 'holdfast:public';

/** The permission that the caller of this route needs. */
export const RequiresPermission = (permission: Permission): MethodDecorator => SetMetadata(REQUIRED_PERMISSION, permission);

/** Anybody may call this route. `why` is for the reader and the test. */
export const PublicRoute = (why: string): MethodDecorator => SetMetadata(PUBLIC_REASON, why);

/** A request after the guard. */
export interface AuthorizedRequest extends IncomingMessage {
  caller?: Caller;
}

/** The caller that the guard found. */
export const CurrentCaller = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<AuthorizedRequest>();
  if (caller === undefined) throw new HoldfastError('BUG', 'A public route asked for its caller.');
  return caller;
});
