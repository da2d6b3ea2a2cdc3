/** The real command line `holdfast`, run as an operator runs it. Owns no state. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { commandError, tryRun, type CommandResult } from '../testbed/command.js';
import { commandOf } from './repository.js';

export interface CliAccess {
  readonly url: string;
  readonly key: string;
  readonly caFile: string;
}

export class HoldfastCli {
  constructor(readonly access: CliAccess) {}

  /** What an operator exports in the shell; the key is a secret of this test system alone. */
  get environment(): Record<string, string> {
    return { HOLDFAST_URL: this.access.url, HOLDFAST_API_KEY: this.access.key, HOLDFAST_CA_FILE: this.access.caFile };
  }

  /** Runs one command and reports whatever happened. */
  async tryRun(...args: string[]): Promise<CommandResult> {
    return tryRun([...commandOf('cli'), ...args], {
      env: { ...this.environment, LC_ALL: 'C.UTF-8' },
      timeoutMs: 900_000,
    });
  }

  /** Runs one command; returns what it printed, throws when its exit code is not 0. */
  async run(...args: string[]): Promise<string> {
    const result = await this.tryRun(...args);
    if (result.exitCode !== 0) throw commandError(['holdfast', ...args], result);
    return result.stdout;
  }

  /** As `run`, with `--output json`. */
  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.run('--output', 'json', ...args)) as T;
  }

  /** Writes a shell file that exports the environment and defines `holdfast`, for a person who looks around. */
  async writeEnvironment(file: string): Promise<void> {
    const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
    const exports = Object.entries(this.environment).map(([name, value]) => `export ${name}=${quote(value)}`);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, `${exports.join('\n')}\nholdfast() { ${commandOf('cli').map(quote).join(' ')} "$@"; }\n`, {
      mode: 0o600,
    });
  }
}
