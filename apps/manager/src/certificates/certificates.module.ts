/** Opens the certificate authority once, for everybody. */
import { Global, Module } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { MANAGER_CONFIG, type ManagerConfig } from '../config/manager-config.js';
import { Logger } from '../events/logger.js';
import { Clock } from '../platform/clock.js';
import { CertificateAuthority } from './certificate-authority.js';
import { openKnownAuthority } from './known-authority.js';

@Global()
@Module({
  providers: [
    {
      provide: CertificateAuthority,
      inject: [MANAGER_CONFIG, DataSource, Clock, Logger],
      useFactory: (config: ManagerConfig, dataSource: DataSource, clock: Clock, logger: Logger) =>
        openKnownAuthority(config, dataSource, clock, logger),
    },
  ],
  exports: [CertificateAuthority],
})
export class CertificatesModule {}
