/**
 * Who asks. Every changing or reading service method takes the caller first. Owns the two checks that services make;
 * must not know how a caller proved who it is.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Role } from '@holdfast/shared/api/access.js';
import type { AccountId, ApiKeyId } from '@holdfast/shared/ids/ids.js';

export interface Caller {
  readonly role: Role;
  readonly accountId: AccountId;
  readonly apiKeyId: ApiKeyId;
}

/** Throws FORBIDDEN for everybody but administrators. `what` completes "Only an administrator may …". */
export function requireAdmin(caller: Caller, what: string): void {
  if (caller.role !== 'admin') {
    throw new HoldfastError('FORBIDDEN', `Only an administrator may ${what}. Use an API key with the role "admin".`, {
      apiKeyId: caller.apiKeyId,
    });
  }
}

/** True when the caller may see a thing of this owner. Another's thing is answered like one that does not exist. */
export function maySee(caller: Caller, ownerAccountId: string | null): boolean {
  return caller.role === 'admin' || (ownerAccountId !== null && ownerAccountId === caller.accountId);
}
