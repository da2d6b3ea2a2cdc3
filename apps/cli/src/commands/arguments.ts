/** Parsers of option values. They throw commander's error, which becomes exit code 2. */
import { InvalidArgumentError } from 'commander';

/** A whole number of seconds, at least 1. */
export function seconds(text: string): number {
  return wholeNumber(text, 1);
}

/** A whole number; below `least` is refused. */
export function wholeNumber(text: string, least = Number.MIN_SAFE_INTEGER): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  if (value < least) throw new InvalidArgumentError(`It must be at least ${least}.`);
  return value;
}
