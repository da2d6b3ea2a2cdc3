/**
 * ToolRunner by execa: each child is the leader of its own process group, which is killed as a whole on deadline and
 * cancel, and dies with the agent (so that no child of an earlier life writes beside a new one). Owns how children live and
 * die; knows nothing of what they do.
 */
import { execa } from 'execa';
import type { Readable } from 'node:stream';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';
import { findTool, searchPath } from './find-tool.js';
import { killGroup } from './kill-group.js';
import type { ToolCall, ToolResult, ToolRunner } from './tool-runner.js';

/** After a kill: how long to wait for the death. A child in D state dies when its storage answers; nobody waits for that. */
const REAP_GRACE_MS = 2_000;
/** After the child's own end: how long something that it left behind may hold its output before it is killed. */
const OUTPUT_GRACE_MS = 1_000;
const STDERR_IN_ERRORS = 2_000;
const MAX_OUTPUT_CHARACTERS = 64 * 1024 * 1024;

type Ending =
  | { readonly how: 'exited'; readonly exitCode: number | null; readonly signal: string | null }
  | { readonly how: 'deadline' | 'cancelled' | 'too-much-output' }
  | { readonly how: 'not-started'; readonly cause: Error };

export class ExecaToolRunner implements ToolRunner {
  private readonly directories = searchPath(process.env['PATH']);
  private readonly found = new Map<string, string>();

  constructor(private readonly log: Log) {}

  async run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> {
    if (call.signal?.aborted) throw cancelled(tool);
    const file = await this.locate(tool);
    const setpriv = await this.locate('setpriv');
    const startedAt = performance.now();
    const child = new RunningChild(setpriv, ['--pdeathsig', 'KILL', '--', file, ...args], this.directories.join(':'), call);
    const ending = await child.ended;
    this.log.debug('Tool ended', {
      tool,
      args,
      ms: Math.round(performance.now() - startedAt),
      how: ending.how,
      ...(ending.how === 'exited' && { exitCode: ending.exitCode, signal: ending.signal }),
    });
    switch (ending.how) {
      case 'deadline':
        throw new HoldfastError('TIMED_OUT', `${tool} did not end within ${call.deadlineMs} ms and was killed.`, {
          tool,
          deadlineMs: String(call.deadlineMs),
        });
      case 'cancelled':
        throw cancelled(tool);
      case 'too-much-output':
        throw new HoldfastError(
          'TOOL_FAILED',
          `${tool} wrote more than can be read (${MAX_OUTPUT_CHARACTERS} characters) and was killed.`,
          {
            tool,
          },
        );
      case 'not-started':
        throw new HoldfastError(
          'TOOL_FAILED',
          `${tool} could not be started: ${ending.cause.message}.`,
          { tool },
          { cause: ending.cause },
        );
      case 'exited':
        if (ending.exitCode === null) {
          throw new HoldfastError(
            'INTERRUPTED',
            `${tool} was ended from outside by ${ending.signal}; the work can be repeated.`,
            {
              tool,
              signal: String(ending.signal),
            },
          );
        }
        return { exitCode: ending.exitCode, stdout: child.stdout, stderr: child.stderr };
    }
  }

  async must(tool: string, args: readonly string[], call: ToolCall): Promise<string> {
    const result = await this.run(tool, args, call);
    if (result.exitCode === 0) return result.stdout;
    const stderr = result.stderr.slice(-STDERR_IN_ERRORS).trim();
    throw new HoldfastError(
      'TOOL_FAILED',
      `${tool} ${args[0] ?? ''} failed with exit code ${result.exitCode}: ${stderr || 'it said nothing'}`,
      {
        tool,
        exitCode: String(result.exitCode),
        stderr,
      },
    );
  }

  private async locate(tool: string): Promise<string> {
    const known = this.found.get(tool);
    if (known !== undefined) return known;
    const file = await findTool(tool, this.directories);
    if (file === undefined) {
      throw new HoldfastError(
        'CONFIGURATION_INVALID',
        `The tool "${tool}" is not installed on this host; install its package (see "holdfast-agent check").`,
        {
          tool,
        },
      );
    }
    this.found.set(tool, file);
    return file;
  }
}

function cancelled(tool: string): HoldfastError {
  return new HoldfastError('CANCELLED', `${tool} was stopped because the work was cancelled.`, { tool });
}

/** One child from start to end. `ended` never rejects and never waits for a child that cannot be reaped. */
class RunningChild {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ending>;
  private readonly child: ReturnType<typeof RunningChild.start>;

  constructor(file: string, args: readonly string[], path: string, call: ToolCall) {
    this.child = RunningChild.start(file, args, path, call);
    // The result is taken from the events below; the promise only must not be left unhandled.
    this.child.catch(() => undefined);
    this.ended = this.follow(call);
  }

  private static start(file: string, args: readonly string[], path: string, call: ToolCall) {
    return execa(file, [...args], {
      detached: true,
      cleanup: false,
      reject: false,
      buffer: false,
      env: { LC_ALL: 'C', PATH: path },
      ...(call.input === undefined ? { stdin: 'ignore' as const } : { input: call.input }),
    });
  }

  private follow(call: ToolCall): Promise<Ending> {
    return new Promise((resolve) => {
      const timers: NodeJS.Timeout[] = [];
      let open = 2;
      let exited: Ending | undefined;
      let killedFor: Ending | undefined;
      const end = (ending: Ending): void => {
        timers.forEach(clearTimeout);
        call.signal?.removeEventListener('abort', onAbort);
        this.letGo();
        resolve(ending);
      };
      const kill = (why: Ending): void => {
        if (killedFor !== undefined) return;
        killedFor = why;
        killGroup(this.child.pid);
        timers.push(setTimeout(() => end(why), REAP_GRACE_MS));
      };
      const onAbort = (): void => kill({ how: 'cancelled' });
      const maybeEnd = (): void => {
        if (exited !== undefined && open === 0) end(killedFor ?? exited);
      };
      const read = (stream: Readable, take: (text: string) => void): void => {
        stream.setEncoding('utf8');
        stream.on('data', take);
        stream.on('error', () => undefined);
        stream.once('close', () => {
          open -= 1;
          maybeEnd();
        });
      };
      read(this.child.stdout, (text) => {
        this.stdout += text;
        call.onStdout?.(text);
        if (this.stdout.length > MAX_OUTPUT_CHARACTERS) kill({ how: 'too-much-output' });
      });
      read(this.child.stderr, (text) => {
        this.stderr = (this.stderr + text).slice(-MAX_OUTPUT_CHARACTERS);
      });
      const process = this.child.nodeChildProcess;
      process.once('error', (cause: Error) => end({ how: 'not-started', cause }));
      process.once('exit', (exitCode, signal) => {
        exited = { how: 'exited', exitCode, signal };
        timers.push(
          setTimeout(() => {
            killGroup(this.child.pid);
            end(killedFor ?? { how: 'exited', exitCode, signal });
          }, OUTPUT_GRACE_MS),
        );
        maybeEnd();
      });
      call.signal?.addEventListener('abort', onAbort, { once: true });
      // Node's timers end at 2^31 ms; a longer deadline means "none" in practice.
      timers.push(setTimeout(() => kill({ how: 'deadline' }), Math.min(call.deadlineMs, 2 ** 31 - 1)));
    });
  }

  /** Nothing of a child that may never die keeps the agent's event loop alive or its pipes open. */
  private letGo(): void {
    this.child.stdout.destroy();
    this.child.stderr.destroy();
    this.child.stdin?.destroy();
    this.child.nodeChildProcess.unref();
  }
}
