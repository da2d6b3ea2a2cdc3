/**
 * The highest fencing token seen for each VM, durable before anything is done under it: `<stateDir>/fencing/<vm uuid>.json`.
 * Owns the comparison; knows nothing of operations.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { makeStateDirectory, writeDurably } from './durable-file.js';

export class FencingTokens {
  private readonly root: string;
  private readonly highest = new Map<string, bigint>();

  constructor(stateDir: string) {
    this.root = join(stateDir, 'fencing');
  }

  async open(): Promise<void> {
    await makeStateDirectory(this.root);
  }

  /** Remembers the token, or throws FENCED {vmUuid, token, highest} for one that is older than the newest seen. */
  async admit(vmUuid: string, token: bigint): Promise<void> {
    const known = this.highest.get(vmUuid) ?? (await this.read(vmUuid));
    if (known !== undefined && token < known) {
      throw new HoldfastError(
        'FENCED',
        `The work on VM ${vmUuid} was sent under an older lock (token ${token}) than the newest that this host has seen (${known}); another manager has taken over.`,
        { vmUuid, token: String(token), highest: String(known) },
      );
    }
    if (known === undefined || token > known)
      await writeDurably(this.file(vmUuid), `${JSON.stringify({ token: String(token) })}\n`);
    this.highest.set(vmUuid, token);
  }

  private async read(vmUuid: string): Promise<bigint | undefined> {
    try {
      const { token } = JSON.parse(await readFile(this.file(vmUuid), 'utf8')) as { token: string };
      return BigInt(token);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new HoldfastError(
        'BUG',
        `The file ${this.file(vmUuid)} cannot be read as a fencing token; keep it and report it.`,
        { file: this.file(vmUuid) },
        { cause },
      );
    }
  }

  private file(vmUuid: string): string {
    return join(this.root, `${vmUuid}.json`);
  }
}
