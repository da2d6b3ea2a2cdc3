/** Any thrown value as what grpc-js sends. Owns only the wrapping; the form is the shared package's. */
import { Metadata } from '@grpc/grpc-js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { ERROR_METADATA_KEY, toWireError } from '@holdfast/shared/wire/grpc-error.js';

export function serviceError(thrown: unknown): { code: number; details: string; metadata: Metadata } {
  const { code, details, bytes } = toWireError(HoldfastError.from(thrown));
  const metadata = new Metadata();
  metadata.set(ERROR_METADATA_KEY, Buffer.from(bytes));
  return { code, details, metadata };
}
