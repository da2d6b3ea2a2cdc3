/** Who calls, and may it: the one answer for both doors. */
import { Injectable } from '@nestjs/common';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Caller } from '../../access/caller.js';
import { AccountsService } from '../../accounts/accounts.service.js';
import { isAllowed, type Permission } from './permissions.js';

@Injectable()
export class Authorizer {
  constructor(private readonly accounts: AccountsService) {}

  /**
   * The caller behind an `authorization` value, when it has the permission.
   * UNAUTHENTICATED without a known key, FORBIDDEN when its role lacks the permission.
   */
  async authorize(authorization: string | undefined, permission: Permission): Promise<Caller> {
    const caller = await this.accounts.authenticate(bearerSecret(authorization));
    if (!isAllowed(caller.role, permission)) {
      throw new HoldfastError(
        'FORBIDDEN',
        `The role "${caller.role}" may not do this: it lacks the permission ${permission}. Use a key of an administrator.`,
        {
          permission,
          role: caller.role,
          apiKeyId: caller.apiKeyId,
        },
      );
    }
    return caller;
  }
}

function bearerSecret(authorization: string | undefined): string {
  const match = /^Bearer +(\S+)$/i.exec(authorization ?? '');
  if (match?.[1] === undefined) {
    throw new HoldfastError('UNAUTHENTICATED', 'This call needs an API key. Send it as "Authorization: Bearer <key>".');
  }
  return match[1];
}
