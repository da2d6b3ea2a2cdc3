/** A log that keeps nothing: for tests and for tools that speak by their exit code. */
import type { Log } from '../operations/command.js';

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
