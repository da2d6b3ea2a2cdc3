/** A join token: `hfj1.<secret>.<SHA-256 of the CA certificate, hex>`. Owns its form and the comparison. Pure. */
import { X509Certificate } from 'node:crypto';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';

export interface JoinToken {
  /** As given: what is sent. */
  readonly text: string;
  /** SHA-256 over the DER form of the CA certificate, lower-case hex. */
  readonly authorityFingerprint: string;
}

/** TOKEN_INVALID for anything else. */
export function parseJoinToken(text: string): JoinToken {
  const match = /^hfj1\.[^.\s]+\.([0-9a-fA-F]{64})$/.exec(text.trim());
  if (match?.[1] === undefined) {
    throw new HoldfastError(
      'TOKEN_INVALID',
      'This is not a join token of Holdfast; create one with "holdfast host token" and copy all of it.',
    );
  }
  return { text: text.trim(), authorityFingerprint: match[1].toLowerCase() };
}

/** SHA-256 of a certificate (PEM or DER) in the form of the token. */
export function fingerprint(certificate: string | Buffer): string {
  return new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();
}
