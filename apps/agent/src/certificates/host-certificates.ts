/**
 * What a host got when it joined: `host.key`, `host.crt`, `ca.crt` and `host.json` (its id) in one directory. Owns reading
 * and writing them as one set.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { z } from 'zod';
import { makeStateDirectory, writeDurably } from '../operations/durable-file.js';

export interface HostCertificates {
  readonly hostId: string;
  /** PEM, all three. */
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly caCertificatePem: string;
}

const hostFileSchema = z.object({ hostId: z.uuid() });

/** Writes the set; host.json last, so that a half-written set is not taken for one. The key is readable by its owner alone. */
export async function writeHostCertificates(directory: string, set: HostCertificates): Promise<void> {
  await makeStateDirectory(directory);
  await writeDurably(join(directory, 'host.key'), set.keyPem, 0o600);
  await writeDurably(join(directory, 'host.crt'), set.certificatePem, 0o644);
  await writeDurably(join(directory, 'ca.crt'), set.caCertificatePem, 0o644);
  await writeDurably(join(directory, 'host.json'), `${JSON.stringify({ hostId: set.hostId })}\n`, 0o644);
}

/** Reads and checks the set. CONFIGURATION_INVALID when the host has not joined or the files do not belong together. */
export async function readHostCertificates(directory: string): Promise<HostCertificates> {
  const read = (name: string): Promise<string> => readFile(join(directory, name), 'utf8');
  try {
    const [keyPem, certificatePem, caCertificatePem, host] = await Promise.all([
      read('host.key'),
      read('host.crt'),
      read('ca.crt'),
      read('host.json'),
    ]);
    const set = { hostId: hostFileSchema.parse(JSON.parse(host)).hostId, keyPem, certificatePem, caCertificatePem };
    checkHostCertificates(set);
    return set;
  } catch (cause) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The certificates in ${directory} cannot be used (${(cause as Error).message}). Let this host join its zone: holdfast-agent join --manager URL --token TOKEN.`,
      { directory },
      { cause },
    );
  }
}

/** Throws when key, certificate and authority do not belong together. */
export function checkHostCertificates(set: HostCertificates): void {
  const certificate = new X509Certificate(set.certificatePem);
  if (!certificate.verify(new X509Certificate(set.caCertificatePem).publicKey))
    throw new Error('the certificate is not signed by this authority');
  if (!certificate.checkPrivateKey(createPrivateKey(set.keyPem))) throw new Error('the certificate is for another key');
}
