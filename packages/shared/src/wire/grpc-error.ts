/**
 * How an error of Holdfast travels as a gRPC status: the status number from the one table, the sentence as details, and the
 * whole error as JSON bytes in one metadata entry. Owns both directions. Knows no gRPC library.
 */
import { z } from 'zod';
import { HoldfastError } from '../errors/holdfast-error.js';

/** Metadata key of the error; "-bin" makes gRPC carry bytes. */
export const ERROR_METADATA_KEY = 'holdfast-error-bin';

/** Metadata travels in HTTP headers, which are limited: longer texts are cut, from their front (the end says why). */
const LONGEST_TEXT = 1_500;

const errorSchema = z.object({ code: z.string(), message: z.string(), fields: z.record(z.string(), z.string()).default({}) });

export interface WireError {
  /** Number of grpc.status. */
  readonly code: number;
  readonly details: string;
  /** Value of the metadata entry. */
  readonly bytes: Uint8Array;
}

/** An error as it goes out. */
export function toWireError(error: HoldfastError): WireError {
  const { code, message, fields } = error.toData();
  const short = Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, cut(value)]));
  const bytes = new TextEncoder().encode(JSON.stringify({ code, message: cut(message), fields: short }));
  return { code: error.facts.grpc, details: cut(message), bytes };
}

/** The error in a metadata entry; undefined when it is not one (another program answered, or the connection failed). */
export function fromWireError(bytes: Uint8Array): HoldfastError | undefined {
  try {
    return HoldfastError.fromData(errorSchema.parse(JSON.parse(new TextDecoder().decode(bytes))));
  } catch {
    return undefined;
  }
}

function cut(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `…${text.slice(-LONGEST_TEXT)}`;
}
