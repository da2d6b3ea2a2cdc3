import 'reflect-metadata';
import { describe, expect, test } from '@jest/globals';
import { PATH_METADATA } from '@nestjs/common/constants.js';
import { ManagerService } from '@holdfast/shared/wire/generated/holdfast/manager/v1/manager.js';
import type { ManagerServices } from '../grpc/manager-services.js';
import { methodTable } from '../grpc/method-table.js';
import { CONTROLLERS } from '../rest/controllers/controllers.js';
import { isAllowed, PERMISSIONS } from './permissions.js';
import { PUBLIC_REASON, REQUIRED_PERMISSION } from './route-access.js';

interface Route {
  readonly name: string;
  readonly permission: unknown;
  readonly publicReason: unknown;
}

function routes(): Route[] {
  return CONTROLLERS.flatMap((controller) => {
    const prototype = controller.prototype as unknown as Record<string, object>;
    return Object.getOwnPropertyNames(prototype)
      .filter((name) => name !== 'constructor' && Reflect.hasMetadata(PATH_METADATA, prototype[name] ?? {}))
      .map((name) => ({
        name: `${controller.name}.${name}`,
        permission: Reflect.getMetadata(REQUIRED_PERMISSION, prototype[name] ?? {}) as unknown,
        publicReason: Reflect.getMetadata(PUBLIC_REASON, prototype[name] ?? {}) as unknown,
      }));
  });
}

describe('who may call what', () => {
  test('every route declares a permission, or why it is public, and not both', () => {
    const all = routes();
    expect(all.length).toBeGreaterThan(40);
    const wrong = all.filter(({ permission, publicReason }) => {
      const declares = typeof permission === 'string' && permission in PERMISSIONS;
      const isPublic = typeof publicReason === 'string' && publicReason.length > 10;
      return declares === isPublic;
    });
    expect(wrong).toEqual([]);
  });

  test('only joining and the health check are public', () => {
    const open = routes().filter((route) => route.publicReason !== undefined);
    expect(open.map((route) => route.name).sort()).toEqual(['HealthController.check', 'HostJoinsController.join']);
  });

  test('every gRPC method declares a permission', () => {
    const table: Record<string, { permission: string }> = { ...methodTable({} as ManagerServices) };
    expect(Object.keys(table).sort()).toEqual(Object.keys(ManagerService).sort());
    expect(Object.values(table).filter((method) => !(method.permission in PERMISSIONS))).toEqual([]);
  });

  test('every permission is used by a route and by a gRPC method', () => {
    const byRoutes = new Set(routes().map((route) => route.permission));
    const byMethods = new Set(Object.values(methodTable({} as ManagerServices)).map((method) => method.permission));
    for (const permission of Object.keys(PERMISSIONS)) {
      expect([permission, byRoutes.has(permission), byMethods.has(permission as keyof typeof PERMISSIONS)]).toEqual([
        permission,
        true,
        true,
      ]);
    }
  });

  test('hosts, storages, settings, zones and accounts are for administrators', () => {
    for (const permission of [
      'host.read',
      'storage.read',
      'setting.read',
      'zone.change',
      'api-key.change',
      'account.read',
      'vm.change',
    ] as const) {
      expect([isAllowed('user', permission), isAllowed('admin', permission)]).toEqual([false, true]);
    }
    expect(isAllowed('user', 'backup.create')).toBe(true);
  });
});
