/** Gives every module the open data source and the address of its server. Opened before Nest starts, closed after it. */
import { Global, Module, type DynamicModule } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { OpenDatabase } from './database/database.js';

/** Injection token of the {@link DatabaseAddress}. */
export const DATABASE_ADDRESS = Symbol('DATABASE_ADDRESS');

@Global()
@Module({})
export class PersistenceModule {
  static of(database: OpenDatabase): DynamicModule {
    return {
      module: PersistenceModule,
      providers: [
        { provide: DataSource, useValue: database.dataSource },
        { provide: DATABASE_ADDRESS, useValue: database.address },
      ],
      exports: [DataSource, DATABASE_ADDRESS],
    };
  }
}
