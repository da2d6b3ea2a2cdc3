/** Lets a REST call pass when its route is public or its caller has the declared permission. */
import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { Authorizer } from './authorizer.js';
import type { Permission } from './permissions.js';
import { PUBLIC_REASON, REQUIRED_PERMISSION, type AuthorizedRequest } from './route-access.js';

@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authorizer: Authorizer,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = context.getHandler();
    if (this.reflector.get<string | undefined>(PUBLIC_REASON, handler) !== undefined) return true;
    const permission = this.reflector.get<Permission | undefined>(REQUIRED_PERMISSION, handler);
    if (permission === undefined)
      throw new HoldfastError('BUG', `The route ${context.getClass().name}.${handler.name} declares no permission.`);
    const request = context.switchToHttp().getRequest<AuthorizedRequest>();
    request.caller = await this.authorizer.authorize(request.headers.authorization, permission);
    return true;
  }
}
