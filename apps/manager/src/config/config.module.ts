/** Gives every module the configuration. */
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { MANAGER_CONFIG, type ManagerConfig } from './manager-config.js';

@Global()
@Module({})
export class ConfigModule {
  static of(config: ManagerConfig): DynamicModule {
    return { module: ConfigModule, providers: [{ provide: MANAGER_CONFIG, useValue: config }], exports: [MANAGER_CONFIG] };
  }
}
