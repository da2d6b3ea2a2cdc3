/**
 * A host becomes part of a zone: makes its key, has it certified by the manager against a one-time token, and keeps the
 * result. Owns that exchange. Loaded only for it: the certificate library is not needed by a running agent.
 */
// The certificate library needs it first.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { joinedHostSchema, type JoinHost } from '@holdfast/shared/api/inventory.js';
import { problemSchema } from '@holdfast/shared/api/common.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import * as x509 from '@peculiar/x509';
import { checkHostCertificates, writeHostCertificates } from './host-certificates.js';
import { fingerprint, parseJoinToken } from './join-token.js';
import { postJson } from './manager-connection.js';

export interface JoinWish {
  readonly managerUrl: string;
  readonly token: string;
  /** Name of the host in the zone. */
  readonly name: string;
  /** host:port where the manager reaches this agent. */
  readonly address: string;
  readonly certificatesDir: string;
}

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;

/**
 * Joins and returns the host's id. TOKEN_INVALID, TOKEN_EXPIRED, HOST_UNAVAILABLE, and CERTIFICATE_REFUSED when the manager
 * is not the one that made the token; then nothing is kept.
 */
export async function joinZone(wish: JoinWish): Promise<string> {
  const token = parseJoinToken(wish.token);
  const url = joinUrl(wish.managerUrl);
  const { keyPem, requestPem } = await newRequest(wish.name);
  const body: JoinHost = { token: token.text, name: wish.name, address: wish.address, certificateRequestPem: requestPem };
  const answer = await postJson(url, body, token.authorityFingerprint);
  if (answer.status < 200 || answer.status > 299) throw refusal(url, answer);
  const joined = joinedHostSchema.safeParse(json(answer.text));
  if (!joined.success) throw notAManager(url, answer.status);
  const { hostId, certificatePem, caCertificatePem } = joined.data;
  const set = { hostId, keyPem, certificatePem, caCertificatePem };
  try {
    if (fingerprint(caCertificatePem) !== token.authorityFingerprint)
      throw new Error('its authority is another one than the token names');
    checkHostCertificates(set);
  } catch (cause) {
    throw new HoldfastError(
      'CERTIFICATE_REFUSED',
      `The answer of ${url.origin} is not to be trusted: ${(cause as Error).message}. Nothing was kept.`,
      { manager: url.origin },
      { cause },
    );
  }
  await writeHostCertificates(wish.certificatesDir, set);
  return hostId;
}

function joinUrl(managerUrl: string): URL {
  try {
    const base = new URL(managerUrl.endsWith('/') ? managerUrl : `${managerUrl}/`);
    if (base.protocol !== 'http:' && base.protocol !== 'https:') throw new Error('protocol');
    return new URL('api/v1/host-joins', base);
  } catch (cause) {
    throw new HoldfastError(
      'INVALID_INPUT',
      `"${managerUrl}" is not the address of a manager; give it like https://manager.example:8443.`,
      { field: 'manager' },
      { cause },
    );
  }
}

/** A new P-256 key and a request for it. The manager takes only the public key from it. */
async function newRequest(name: string): Promise<{ keyPem: string; requestPem: string }> {
  const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: SIGNING,
  });
  const keyPem = x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  return { keyPem: `${keyPem}\n`, requestPem: request.toString('pem') };
}

function refusal(url: URL, answer: { status: number; text: string }): HoldfastError {
  const problem = problemSchema.safeParse(json(answer.text));
  if (!problem.success) return notAManager(url, answer.status);
  return HoldfastError.fromData({ code: problem.data.code, message: problem.data.detail, fields: problem.data.fields });
}

function notAManager(url: URL, status: number): HoldfastError {
  return new HoldfastError(
    'HOST_UNAVAILABLE',
    `${url.origin} does not answer like a Holdfast manager (HTTP ${status}); check the address.`,
    { manager: url.origin },
  );
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
