/**
 * Every permission once, with the roles that have it. Routes and gRPC methods declare one of these; what a role may
 * see of a thing (its own account's) is the services' part.
 */
import type { Role } from '@holdfast/shared/api/access.js';

const admin = ['admin'] as const satisfies readonly Role[];
const everybody = ['admin', 'user'] as const satisfies readonly Role[];

export const PERMISSIONS = {
  'zone.read': admin,
  'zone.change': admin,
  'host.read': admin,
  'host.change': admin,
  'host.invite': admin,
  'storage.read': admin,
  'storage.change': admin,
  'offering.read': everybody,
  'offering.change': admin,
  'vm.read': everybody,
  'vm.change': admin,
  'vm.assign-offering': everybody,
  'vm.finish-chain': everybody,
  'vm.release-files': everybody,
  'backup.read': everybody,
  'backup.create': everybody,
  'backup.restore': everybody,
  'backup.compact': admin,
  'schedule.read': everybody,
  'schedule.change': everybody,
  'backup.change': everybody,
  'backup.delete': everybody,
  'usage.read': everybody,
  'vm-snapshot.read': everybody,
  'vm-snapshot.create': everybody,
  'vm-snapshot.revert': everybody,
  'vm-snapshot.delete': everybody,
  'operation.read': everybody,
  'operation.cancel': everybody,
  'setting.read': admin,
  'setting.change': admin,
  'account.read': admin,
  'account.change': admin,
  'api-key.read': admin,
  'api-key.change': admin,
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof PERMISSIONS;

/** True when the role has the permission. */
export function isAllowed(role: Role, permission: Permission): boolean {
  return (PERMISSIONS[permission] as readonly Role[]).includes(role);
}
