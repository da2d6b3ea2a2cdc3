/**
 * What the command line touches outside itself, as one object, so that tests run whole commands in this process.
 */
export interface CliIo {
  out(text: string): void;
  err(text: string): void;
  /** Where progress bars are drawn; undefined: not a terminal, plain lines. */
  readonly terminal: NodeJS.WritableStream | undefined;
  /** A line from the person at the terminal; undefined: nobody is there to ask. */
  ask(question: string): Promise<string | undefined>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
  readonly fetch: typeof globalThis.fetch;
  /** Makes fetch trust the CA of this PEM file as well. */
  trustCa(pemFile: string): Promise<void>;
  sleep(ms: number): Promise<void>;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}
