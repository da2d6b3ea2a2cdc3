#!/usr/bin/env node
/** The program `holdfast`: the command line with the real terminal, network and environment. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { CliError } from './errors/cli-error.js';
import { runCli } from './program.js';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());
// Whoever reads the output may stop reading (`| head`): that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  terminal: process.stderr.isTTY ? process.stderr : undefined,
  ask: async (question) => {
    if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    // Ctrl-C and Ctrl-D are no answer, which is no.
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    const answered = lines.question(question, { signal: interrupt.signal }).catch(() => '');
    return Promise.race([answered, closed]).finally(() => lines.close());
  },
  env: process.env,
  homeDirectory: homedir(),
  fetch: globalThis.fetch,
  trustCa: async (pemFile) => {
    const pem = await readFile(pemFile, 'utf8').catch((error: unknown) => {
      throw new CliError(
        'CONFIGURATION_INVALID',
        `The CA file ${pemFile} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      );
    });
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), pem]);
  },
  sleep: (ms) => sleep(ms, undefined, { signal: interrupt.signal }).catch(() => undefined),
  interrupted: interrupt.signal,
});
