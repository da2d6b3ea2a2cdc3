/** Opens both doors of a manager over TLS. Owns the choice of their certificate and how they listen and close. */
import { readFile, writeFile } from 'node:fs/promises';
import https from 'node:https';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ServerCredentials } from '@grpc/grpc-js';
import type { INestApplication } from '@nestjs/common';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { CertificateAuthority, type KeyAndCertificate } from '../certificates/certificate-authority.js';
import { MANAGER_CONFIG, splitListen, type ManagerConfig } from '../config/manager-config.js';
import { ManagerGrpcServer } from './grpc/manager-grpc-server.js';
import { configureRest } from './rest/configure-rest.js';

/** In the data folder, for everybody to read: the CA's certificate, which callers of the doors trust. */
export const CA_FILE = 'ca.crt';

export interface Doors {
  readonly restPort: number;
  readonly grpcPort: number;
  /** Takes no new calls, ends streams. The application itself stays for its owner to close. */
  close(): Promise<void>;
}

/**
 * Configures and initialises the application, then listens where the configuration says. The certificate is the
 * configured one, or one of the own CA (leaf and CA are presented) for this machine's name, localhost, the address
 * that is listened on and `tls.names`.
 */
export async function startDoors(app: INestApplication): Promise<Doors> {
  const config = app.get<ManagerConfig>(MANAGER_CONFIG);
  configureRest(app);
  await app.init();
  const authority = app.get(CertificateAuthority);
  await writeFile(join(config.dataDir, CA_FILE), authority.certificatePem, { mode: 0o644 });
  const { keyPem, certificatePem } = await doorCertificate(config, authority);
  const rest = splitListen(config.rest.listen);
  const server = https.createServer(
    { key: keyPem, cert: certificatePem, minVersion: 'TLSv1.2' },
    app.getHttpAdapter().getInstance() as RequestListener,
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen('rest.listen', config.rest.listen, error)));
    server.listen(rest.port, rest.host, resolve);
  });
  const credentials = ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(certificatePem) },
  ]);
  const grpc = await app
    .get(ManagerGrpcServer)
    .start(config.grpc.listen, credentials)
    .catch((error: unknown) => {
      server.close();
      throw cannotListen('grpc.listen', config.grpc.listen, error);
    });
  return {
    restPort: (server.address() as AddressInfo).port,
    grpcPort: grpc.port,
    close: async () => {
      const restClosed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await Promise.all([restClosed, grpc.stop()]);
    },
  };
}

async function doorCertificate(config: ManagerConfig, authority: CertificateAuthority): Promise<KeyAndCertificate> {
  const { certificateFile, keyFile, names } = config.tls;
  if (certificateFile !== undefined && keyFile !== undefined) {
    return { certificatePem: await readPem(certificateFile), keyPem: await readPem(keyFile) };
  }
  const listened = [config.rest.listen, config.grpc.listen]
    .map((listen) => splitListen(listen).host)
    .filter((host) => host !== '0.0.0.0' && host !== '::');
  return authority.issueServer([...new Set([hostname(), 'localhost', '127.0.0.1', '::1', ...listened, ...names])]);
}

async function readPem(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `${path} cannot be read (${error.code ?? error.message}). Check "tls" in the configuration.`,
      { path },
    );
  });
}

function cannotListen(key: string, listen: string, error: unknown): HoldfastError {
  const reason = error instanceof Error ? error.message : String(error);
  return new HoldfastError(
    'CONFIGURATION_INVALID',
    `Cannot listen on ${listen}: ${reason}. Change "${key}" in the configuration, or stop what uses it.`,
    { listen },
    { cause: error },
  );
}
