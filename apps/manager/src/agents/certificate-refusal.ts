/**
 * Finds out whether a host that does not answer refuses certificates, or shows one that is refused: gRPC says of both no more than
 * that the host is unavailable. One handshake with the credentials of the calls; sends no call. Decides by codes, never by text.
 */
import { connect } from 'node:tls';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { KeyAndCertificate } from '../certificates/certificate-authority.js';
import { splitListen } from '../config/manager-config.js';
import type { CalledHost } from './agent-errors.js';

const PATIENCE_MS = 3000;

export interface CallerIdentity extends KeyAndCertificate {
  /** PEM of the authority that agents are of. */
  readonly authorityPem: string;
}

/** `code`: what TLS said of the certificate that is refused. */
type Refusal = { readonly by: 'manager' | 'agent'; readonly code: string };

/** CERTIFICATE_REFUSED with the way out; undefined when certificates are not the reason, or it cannot be told. */
export async function certificateRefusal(host: CalledHost, identity: CallerIdentity): Promise<HoldfastError | undefined> {
  const refusal = await shakeHands(host, identity);
  if (refusal === undefined) return undefined;
  // An agent that was just stopped ends a connection like one that does not want it; it does not do so twice.
  if (refusal.code === CLOSED && (await shakeHands(host, identity))?.code !== CLOSED) return undefined;
  return new HoldfastError('CERTIFICATE_REFUSED', message(host, refusal), {
    hostId: host.id,
    host: host.name,
    address: host.address,
    reason: refusal.code,
  });
}

const OTHER_NAME = 'ERR_TLS_CERT_ALTNAME_INVALID';
/** Not a code of TLS: the other side took the handshake and ended the connection without a byte, as Node's servers refuse. */
const CLOSED = 'CLOSED_AFTER_HANDSHAKE';
/** Alerts by which a server refuses the certificate of its client. */
const ALERT =
  /^ERR_SSL_\w+_ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)$/;

function shakeHands(host: CalledHost, identity: CallerIdentity): Promise<Refusal | undefined> {
  const { host: name, port } = splitListen(host.address);
  return new Promise((resolve) => {
    let trusted = false;
    const socket = connect({
      host: name,
      port,
      servername: host.id,
      key: identity.keyPem,
      cert: identity.certificatePem,
      ca: identity.authorityPem,
      ALPNProtocols: ['h2'],
      // Looked at below: then its code is known, whichever it is.
      rejectUnauthorized: false,
    });
    const end = (refusal: Refusal | undefined): void => {
      resolve(refusal);
      socket.destroy();
    };
    socket.setTimeout(PATIENCE_MS, () => end(undefined));
    socket.once('secureConnect', () => {
      trusted = socket.authorized;
      // The type says Error; Node gives the code.
      if (!trusted) end({ by: 'manager', code: String(socket.authorizationError) });
    });
    // An agent that takes the connection speaks first: HTTP/2 begins with its settings.
    socket.once('data', () => end(undefined));
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      // With TLS 1.3 the server looks at our certificate after our side of the handshake is over.
      if (ALERT.test(code)) end({ by: 'agent', code });
      else end(trusted ? { by: 'agent', code: CLOSED } : undefined);
    });
    socket.once('close', () => end(trusted ? { by: 'agent', code: CLOSED } : undefined));
  });
}

function message(host: CalledHost, { by, code }: Refusal): string {
  const agent = `The agent of host "${host.name}" (${host.address})`;
  const again = 'let the host join again with a new token ("holdfast host token", then "holdfast-agent join" on the host)';
  if (by === 'agent')
    return `${agent} refuses this manager's certificate (${code}): it trusts another authority. If it belongs to this zone, ${again}.`;
  if (code === OTHER_NAME)
    return `${agent} shows the certificate of another host (${code}). Correct the address of the host ("holdfast host update --address"), or ${again}.`;
  return `${agent} shows a certificate that this manager does not trust (${code}). If it is the right machine, ${again}; otherwise correct its address.`;
}
