/**
 * A few virsh processes that stay, and answer questions over a pipe: a look at a VM needs no new process then, which is most
 * of what it costs. Owns their lives and how an answer is told from the rest of what they print. Only for questions: nothing
 * that changes anything is asked here, so that whatever goes wrong, the caller can ask once more in a process of its own.
 */
import { execa } from 'execa';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';
import { killGroup } from '../process/kill-group.js';

/** Whoever comes while these are busy asks in a process of its own, and waits for nobody. */
const MOST_SESSIONS = 2;
/**
 * Comes before every question, and libvirtd itself must answer it (the URI is known to virsh): the first command after a restart of
 * libvirtd fails, the next ones have a new connection.
 */
const PROBE = 'nodeinfo';
const [BEGIN, NEXT, END] = ['begin', 'next', 'end'].map(
  (word) => `@@holdfast-${word}-5b0c9d1e-7f7a-4c53-9a51-3f1b6a8e2d44@@`,
) as [string, string, string];

export class VirshSessions {
  private readonly idle: Session[] = [];
  private living = 0;

  constructor(private readonly ports: { uri: string; log: Log }) {}

  /**
   * The output of each command, without line ends around it; that of a failed one is empty, so an empty answer proves nothing. The
   * commands must change nothing and be made of fixed words and UUIDs alone; none at all asks whether libvirtd answers. Undefined:
   * nobody is free, libvirtd did not answer, or virsh died over it. TIMED_OUT.
   */
  async ask(commands: readonly string[], deadlineMs: number): Promise<string[] | undefined> {
    const session = this.idle.pop() ?? this.open();
    const answer = await session?.ask(lineOf([PROBE, ...commands]), deadlineMs);
    if (session?.alive === true) this.idle.push(session);
    const [connected = '', ...answers] = answer?.split(NEXT).map((text) => text.replace(/^\n+|\n+$/g, '')) ?? [];
    return connected !== '' && answers.length === commands.length ? answers : undefined;
  }

  private open(): Session | undefined {
    if (this.living >= MOST_SESSIONS) return undefined;
    this.living += 1;
    return new Session(this.ports.uri, (died) => {
      this.living -= 1;
      if (this.idle.includes(died)) this.idle.splice(this.idle.indexOf(died), 1);
      this.ports.log.debug('a kept virsh ended', {});
    });
  }
}

/**
 * virsh shows the line that it reads before its answer. The marks are written with quotes inside, which virsh takes out: what
 * it shows of the line is never taken for an answer.
 */
function lineOf(commands: readonly string[]): string {
  const say = (mark: string) => `echo --str ${mark.slice(0, 8)}"${mark.slice(8, 20)}"${mark.slice(20)}`;
  return `${say(BEGIN)}; ${commands.join(`; ${say(NEXT)}; `)}; ${say(END)}\n`;
}

class Session {
  alive = true;
  private heard = '';
  private take: ((answer: string | undefined) => void) | undefined;
  private readonly child: ReturnType<typeof Session.start>;

  constructor(uri: string, onDeath: (session: Session) => void) {
    this.child = Session.start(uri);
    this.child.stdout.setEncoding('utf8');
    this.child.stdout.on('data', (text: string) => this.hear(text));
    // Written to in the moment of its death; the death itself is what counts.
    this.child.stdin.on('error', () => undefined);
    const ended = () => {
      this.alive = false;
      this.take?.(undefined);
      onDeath(this);
    };
    this.child.then(ended, ended);
    this.hold(false);
  }

  private static start(uri: string) {
    return execa('virsh', ['-q', '-c', uri], {
      detached: true,
      cleanup: true,
      reject: false,
      buffer: false,
      stdin: 'pipe',
      stderr: 'ignore',
      // No history: it would be a file in somebody's home.
      env: { LC_ALL: 'C', VIRSH_HISTSIZE: '0' },
    });
  }

  /** What is printed between the marks of a line; undefined when virsh ends before. One line at a time. */
  ask(line: string, deadlineMs: number): Promise<string | undefined> {
    this.heard = '';
    this.hold(true);
    return new Promise<string | undefined>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer);
        this.take = undefined;
        this.hold(false);
      };
      const timer = setTimeout(() => {
        done();
        this.alive = false;
        killGroup(this.child.pid);
        const fields = { tool: 'virsh', deadlineMs: String(deadlineMs) };
        reject(new HoldfastError('TIMED_OUT', `virsh did not answer within ${deadlineMs} ms and was killed.`, fields));
      }, deadlineMs);
      this.take = (answer) => {
        done();
        resolve(answer);
      };
      if (this.alive) this.child.stdin.write(line);
      else this.take(undefined);
    });
  }

  private hear(text: string): void {
    this.heard += text;
    if (this.take === undefined || !this.heard.includes(END)) return;
    const [, answer = ''] = this.heard.slice(0, this.heard.indexOf(END)).split(BEGIN);
    this.take(answer);
  }

  /** Nobody waits for a virsh that has nothing to do: it ends when its input does, with the agent. */
  private hold(busy: boolean): void {
    const { nodeChildProcess, stdin, stdout } = this.child;
    for (const handle of [nodeChildProcess, stdin, stdout] as { ref?: () => void; unref?: () => void }[]) {
      if (busy) handle.ref?.();
      else handle.unref?.();
    }
  }
}
