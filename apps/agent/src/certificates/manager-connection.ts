/**
 * One HTTP(S) request to a manager that is known only by the fingerprint of its authority. Over https nothing is sent before
 * the manager has shown a certificate of exactly that authority. Owns this trust; knows nothing of joining.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { fingerprint } from './join-token.js';

const PATIENCE_MS = 30_000;

/** Posts JSON and gives status and body. HOST_UNAVAILABLE, CERTIFICATE_REFUSED. */
export async function postJson(url: URL, body: unknown, authorityFingerprint: string): Promise<{ status: number; text: string }> {
  const ca = url.protocol === 'https:' ? await authorityOf(url, authorityFingerprint) : undefined;
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { 'content-type': 'application/json' }, timeout: PATIENCE_MS };
    const onAnswer = (answer: IncomingMessage): void => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => (text += piece));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      answer.on('error', (cause) => reject(unreachable(url, cause)));
    };
    const call =
      ca === undefined ? httpRequest(url, options, onAnswer) : httpsRequest(url, { ...options, ca, agent: false }, onAnswer);
    call.on('timeout', () => call.destroy(new Error('no answer in time')));
    call.on('error', (cause) => reject(unreachable(url, cause)));
    call.end(JSON.stringify(body));
  });
}

/** The CA certificate (PEM) in the chain that the manager shows. Nothing is sent on this connection. */
function authorityOf(url: URL, wanted: string): Promise<string> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect(
      { host, port: Number(url.port || 443), servername: /^[\d.]+$|:/.test(host) ? '' : host, rejectUnauthorized: false },
      () => {
        const pem = findAuthority(socket.getPeerCertificate(true), wanted);
        socket.destroy();
        if (pem !== undefined) return resolve(pem);
        reject(
          new HoldfastError(
            'CERTIFICATE_REFUSED',
            `What answers at ${url.origin} is not the manager that made this token: its certificates come from another authority. Check the address, or whether something intercepts the connection.`,
            {
              manager: url.origin,
            },
          ),
        );
      },
    );
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no answer in time')));
    socket.on('error', (cause) => reject(unreachable(url, cause)));
  });
}

function findAuthority(leaf: DetailedPeerCertificate, wanted: string): string | undefined {
  const seen = new Set<string>();
  for (
    let certificate: DetailedPeerCertificate | undefined = leaf;
    certificate?.raw !== undefined;
    certificate = certificate.issuerCertificate
  ) {
    const print = fingerprint(certificate.raw);
    if (print === wanted)
      return `-----BEGIN CERTIFICATE-----\n${certificate.raw.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
    if (seen.has(print)) return undefined;
    seen.add(print);
  }
  return undefined;
}

function unreachable(url: URL, cause: Error): HoldfastError {
  return new HoldfastError(
    'HOST_UNAVAILABLE',
    `The manager at ${url.origin} cannot be reached: ${cause.message}. Check the address and the network.`,
    { manager: url.origin },
    { cause },
  );
}
