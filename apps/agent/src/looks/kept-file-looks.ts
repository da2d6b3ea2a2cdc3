/**
 * FileLooks by one process that stays and is asked over a pipe. A process for each question takes longer than the look, and a
 * small backup is made of such questions. Owns that process's life, and when it is not waited for.
 *
 * Nothing is decided by what it does not say: an answer that is not certain, late or lost makes the question one for a process of
 * its own, with a deadline and a clear error. It is never killed over a storage that hangs: what hangs keeps a thread of
 * it until the storage answers, and when several do, nobody asks it any more until then.
 */
import { execa } from 'execa';
import type { Log } from '../logging/log.js';
import type { FileFacts, FileLooks } from './file-looks.js';
import type { Answer, Question } from './kept-messages.js';

/** A storage that is only slow is asked again by a process that waits longer. */
const PATIENCE_MS = 1_000;
/** Of its threads, so many may hang before it is let alone. */
const MOST_LATE = 12;
const THREADS = 16;
/** One that died is not started again at once, whatever kills it. */
const PAUSE_MS = 5_000;
/** Counts on the command line alone; what else keeps it small it loads itself, as the agent does. */
const SMALL = '--max-semi-space-size=1';

export interface KeptLooksOptions {
  /** The compiled kept-looks-main.js. */
  readonly program: string;
  /** Who answers what this one does not. */
  readonly otherwise: FileLooks;
  readonly log: Log;
  readonly patienceMs?: number;
}

export class KeptFileLooks implements FileLooks {
  private process: LookingProcess | undefined;
  private pausedUntil = 0;

  constructor(private readonly options: KeptLooksOptions) {}

  facts(paths: readonly string[]): Promise<Map<string, FileFacts>> {
    return this.ask('facts', [paths]);
  }

  entries(folder: string, names: readonly string[]): Promise<Map<string, FileFacts>> {
    return this.ask('entries', [folder, names]);
  }

  names(directory: string): Promise<string[] | undefined> {
    return this.ask('names', [directory]);
  }

  isAbsent(path: string): Promise<boolean> {
    return this.ask('isAbsent', [path]);
  }

  realPaths(paths: readonly string[], deadlineMs?: number): Promise<string[]> {
    return this.ask('realPaths', [paths, deadlineMs]);
  }

  text(path: string, mostBytes: number): Promise<string | undefined> {
    return this.ask('text', [path, mostBytes]);
  }

  space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }> {
    return this.ask('space', [path]);
  }

  isWritable(path: string): Promise<boolean> {
    return this.ask('isWritable', [path]);
  }

  /** Ends the process. */
  close(): void {
    this.pausedUntil = Infinity;
    this.process?.kill();
  }

  private async ask<Name extends keyof FileLooks>(
    name: Name,
    args: Parameters<FileLooks[Name]>,
  ): Promise<Awaited<ReturnType<FileLooks[Name]>>> {
    const said = await this.kept()?.ask({ name, args } as Omit<Question, 'id'>, this.options.patienceMs ?? PATIENCE_MS);
    if (said?.certain === true) return said.value as Awaited<ReturnType<FileLooks[Name]>>;
    const ask = this.options.otherwise[name] as (...args: unknown[]) => Promise<unknown>;
    return (await ask.apply(this.options.otherwise, [...args])) as Awaited<ReturnType<FileLooks[Name]>>;
  }

  private kept(): LookingProcess | undefined {
    if (this.process?.alive === true) return this.process.isClogged ? undefined : this.process;
    if (performance.now() < this.pausedUntil) return undefined;
    this.process = new LookingProcess(this.options.program, () => {
      this.pausedUntil = Math.max(this.pausedUntil, performance.now() + PAUSE_MS);
      this.options.log.warn('The process that looks at files ended; it is started again when it is needed', {});
    });
    return this.process;
  }
}

class LookingProcess {
  alive = true;
  private readonly waiting = new Map<number, (answer: Answer | undefined) => void>();
  /** Of these, whoever asked waits no more; a thread does. */
  private readonly late = new Set<number>();
  private asked = 0;
  private readonly child: ReturnType<typeof LookingProcess.start>;

  constructor(program: string, onDeath: () => void) {
    this.child = LookingProcess.start(program);
    this.child.nodeChildProcess.on('message', (message) => {
      const answer = message as unknown as Answer;
      this.waiting.get(answer.id)?.(answer);
    });
    const ended = (): void => {
      this.alive = false;
      for (const give of this.waiting.values()) give(undefined);
      onDeath();
    };
    this.child.then(ended, ended);
  }

  private static start(program: string) {
    // With the agent it ends at once, and without the agent's files and folders: it must not keep a storage mounted.
    return execa('setpriv', ['--pdeathsig', 'KILL', '--', process.execPath, SMALL, program], {
      cwd: '/',
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      ipc: true,
      serialization: 'advanced',
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
      env: { UV_THREADPOOL_SIZE: String(THREADS) },
    });
  }

  get isClogged(): boolean {
    return this.late.size >= MOST_LATE;
  }

  /** Undefined: no answer in time, or none at all. */
  ask(asked: Omit<Question, 'id'>, patienceMs: number): Promise<Answer | undefined> {
    const id = (this.asked += 1);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.late.add(id);
        resolve(undefined);
      }, patienceMs);
      this.waiting.set(id, (answer) => {
        clearTimeout(timer);
        this.waiting.delete(id);
        this.late.delete(id);
        resolve(answer);
      });
      const question = { ...asked, id } as Question;
      // Not sent: it has died or is dying, which answers everything.
      if (this.child.nodeChildProcess.connected) this.child.nodeChildProcess.send(question, () => undefined);
    });
  }

  kill(): void {
    this.child.kill('SIGKILL');
  }
}
