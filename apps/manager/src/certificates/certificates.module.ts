/** Opens the certificate authority in the data folder once, for everybody. */
import { join } from 'node:path';
import { Global, Module } from '@nestjs/common';
import { MANAGER_CONFIG, type ManagerConfig } from '../config/manager-config.js';
import { Clock } from '../platform/clock.js';
import { CertificateAuthority } from './certificate-authority.js';

@Global()
@Module({
  providers: [
    {
      provide: CertificateAuthority,
      inject: [MANAGER_CONFIG, Clock],
      useFactory: (config: ManagerConfig, clock: Clock) =>
        CertificateAuthority.open(join(config.dataDir, 'ca'), () => clock.now()),
    },
  ],
  exports: [CertificateAuthority],
})
export class CertificatesModule {}
