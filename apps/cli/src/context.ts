/**
 * What every command gets: the API and a way to print. Owns the choice between text for people and JSON for tools.
 */
import type { Command } from 'commander';
import { ApiClient } from './api/api-client.js';
import type { CliIo } from './cli-io.js';
import { loadClientConfig } from './config/client-config.js';

export interface GlobalOptions {
  readonly url?: string;
  readonly key?: string;
  readonly caFile?: string;
  readonly output: 'table' | 'json';
}

export interface CommandContext {
  readonly io: CliIo;
  readonly api: ApiClient;
  readonly json: boolean;
  /** The result: `data` as JSON for tools, `text` for people. */
  print(data: unknown, text: () => string): void;
}

/** Sets `outcome.exitCode` when a command ends other than well without an error to print. */
export interface Outcome {
  exitCode: number;
}

/** The context of one run of a command. Throws CliError when the manager or the key is not given. */
export async function openContext(io: CliIo, command: Command): Promise<CommandContext> {
  const options = command.optsWithGlobals<GlobalOptions>();
  const config = await loadClientConfig({ options, env: io.env, homeDirectory: io.homeDirectory });
  if (config.caFile !== undefined) await io.trustCa(config.caFile);
  const json = options.output === 'json';
  return {
    io,
    api: new ApiClient({ url: config.url, key: config.key, fetch: io.fetch, signal: io.interrupted }),
    json,
    print: (data, text) => io.out(json ? `${JSON.stringify(data, null, 2)}\n` : text()),
  };
}
