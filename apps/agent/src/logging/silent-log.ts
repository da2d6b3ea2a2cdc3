/** A log that keeps nothing: for tests and for tools that speak by their exit code. */
import type { Log } from './log.js';

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
