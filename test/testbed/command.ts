/**
 * Runs one program for the test bed: argument array, deadline, own process group that is killed as a whole.
 * Owns no knowledge of hosts or VMs. It never uses a shell and never waits for a child that cannot be killed.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { execa } from 'execa';

/** What a finished program left. `exitCode` is -1 when a signal or the deadline ended it. */
export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
  timedOut: boolean;
}

export interface CommandOptions {
  /** Hang guard in milliseconds, default 120 000. */
  timeoutMs?: number;
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
}

const unkillableGraceMs = 3_000;

/** Runs a program to its end and reports whatever happened. Rejects only when the program cannot be started. */
export async function tryRun(argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('no program was named');
  const child = execa(file, args, {
    reject: false,
    detached: true,
    cleanup: false,
    stripFinalNewline: false,
    input: options.input ?? '',
    env: { LC_ALL: 'C', ...options.env },
    cwd: options.cwd ?? '/',
    maxBuffer: 64 * 1024 * 1024,
  });
  const expired = new Promise<'expired'>((resolve) => {
    const guard = setTimeout(() => {
      killGroup(child.pid);
      // A child in uninterruptible sleep survives SIGKILL: it is left behind instead of hanging the test.
      setTimeout(() => resolve('expired'), unkillableGraceMs).unref();
    }, options.timeoutMs ?? 120_000);
    const stop = () => clearTimeout(guard);
    child.then(stop, stop);
  });
  const ended = await Promise.race([child, expired]);
  if (ended === 'expired') {
    return { exitCode: -1, stdout: '', stderr: `${file} did not end within its deadline`, timedOut: true };
  }
  if (ended.exitCode === undefined && ended.signal === undefined) throw ended;
  return {
    exitCode: ended.exitCode ?? -1,
    stdout: ended.stdout,
    stderr: ended.stderr,
    timedOut: ended.exitCode === undefined && ended.signal === 'SIGKILL',
  };
}

/** A program that runs on by itself, even after this process. */
export interface BackgroundProgram {
  pid: number;
  /** Settles, never rejects, with the exit code or the name of the signal that ended it. */
  exited: Promise<number | NodeJS.Signals>;
}

/** Starts a program in its own process group with its output appended to a file. It does not keep this process alive. */
export async function startBackground(
  argv: readonly string[],
  options: { logFile: string; env?: Record<string, string>; cwd?: string },
): Promise<BackgroundProgram> {
  const [file, ...args] = argv;
  if (file === undefined) throw new Error('no program was named');
  const log = createWriteStream(options.logFile, { flags: 'a' });
  await once(log, 'open');
  try {
    const child = execa(file, args, {
      reject: false,
      detached: true,
      cleanup: false,
      stdin: 'ignore',
      // An open file stream is handed to the child as it is: no data passes through this process.
      stdout: log,
      stderr: log,
      env: { ...options.env },
      cwd: options.cwd ?? '/',
    });
    child.nodeChildProcess.unref();
    const { pid } = child;
    if (pid === undefined) throw new Error(`cannot start ${file}: ${(await child).message ?? 'unknown reason'}`);
    return { pid, exited: child.then((ended) => (ended.signal as NodeJS.Signals | undefined) ?? ended.exitCode ?? -1) };
  } finally {
    log.destroy();
  }
}

/** Runs a program and returns its standard output. Throws with command line, exit code and stderr when it fails. */
export async function run(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const result = await tryRun(argv, options);
  if (result.exitCode !== 0) throw commandError(argv, result);
  return result.stdout;
}

/** The error a failed command is reported with. */
export function commandError(argv: readonly string[], result: CommandResult): Error {
  const why = result.timedOut ? 'was killed or missed its deadline' : `ended with exit code ${result.exitCode}`;
  return new Error(`${argv.join(' ')} ${why}: ${result.stderr.trim() || result.stdout.trim()}`);
}

/** Kills a process group; a group that is gone already is no error. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Ended between our look and our signal.
  }
}
