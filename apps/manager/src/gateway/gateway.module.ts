/** The two doors to the services: REST and gRPC. Imports the modules whose services it opens, holds no rules. */
import { Module, type DynamicModule, type ModuleMetadata } from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { AccessGuard } from './access/access.guard.js';
import { Authorizer } from './access/authorizer.js';
import { ManagerGrpcServer } from './grpc/manager-grpc-server.js';
import { ManagerServices } from './grpc/manager-services.js';
import { CONTROLLERS } from './rest/controllers/controllers.js';
import { IdempotencyInterceptor } from './rest/idempotency/idempotency.interceptor.js';
import { IdempotencyRecords } from './rest/idempotency/idempotency-records.js';
import { OperationLocationInterceptor } from './rest/operation-location.interceptor.js';
import { ProblemFilter } from './rest/problem.filter.js';

@Module({})
export class GatewayModule {
  /** `imports`: the modules that export the services. */
  static of(imports: NonNullable<ModuleMetadata['imports']>): DynamicModule {
    return {
      module: GatewayModule,
      imports,
      controllers: CONTROLLERS,
      providers: [
        Authorizer,
        IdempotencyRecords,
        ManagerServices,
        ManagerGrpcServer,
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_FILTER, useClass: ProblemFilter },
        // The first is the outermost: a repeated answer gets its Location as well.
        { provide: APP_INTERCEPTOR, useClass: OperationLocationInterceptor },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
      ],
      exports: [ManagerGrpcServer],
    };
  }
}
