/**
 * Encrypts recorded answers with what only the caller knows (its API key and its Idempotency-Key; the database holds
 * hashes of both), so that secrets that are shown once cannot be read from the database. Pure but for randomness.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const IV_BYTES = 12;
const TAG_BYTES = 16;

/** `secret`: the same text must be given to {@link openAnswer}. */
export function sealAnswer(answer: unknown, secret: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret), iv);
  const sealed = Buffer.concat([cipher.update(JSON.stringify({ answer }), 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]);
}

/** The answer again. Throws when the secret is another one. */
export function openAnswer(sealed: Buffer, secret: string): unknown {
  const decipher = createDecipheriv('aes-256-gcm', keyOf(secret), sealed.subarray(0, IV_BYTES));
  decipher.setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  const text = Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
  return (JSON.parse(text) as { answer: unknown }).answer;
}

function keyOf(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', 'holdfast idempotency answer', 32));
}
