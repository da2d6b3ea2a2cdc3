/**
 * Speaking QMP with a QEMU: through libvirt for a domain that libvirt manages, through its own monitor socket for one that
 * libvirt has lost. Owns the transport; the meaning of commands is with the callers.
 */
import { createConnection } from 'node:net';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Virsh } from './virsh.js';

export interface Qmp {
  /** Returns the `return` value. TOOL_FAILED {tool: 'qmp', command, class} when QEMU refuses; TIMED_OUT without an answer. */
  execute<T>(command: string, args?: Record<string, unknown>): Promise<T>;
}

interface Reply {
  readonly QMP?: unknown;
  readonly id?: unknown;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly class?: string; readonly desc?: string };
}

/** QMP of a running domain, through libvirt. */
export function qmpThroughLibvirt(virsh: Virsh, uuid: string): Qmp {
  return {
    async execute<T>(command: string, args?: Record<string, unknown>): Promise<T> {
      const cmd = JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) });
      const answer = await virsh.call(['qemu-monitor-command', '--domain', uuid, '--cmd', cmd], { uuid });
      return resultOf<T>(command, answer);
    },
  };
}

/** The `return` value in the text of one QMP reply. */
export function resultOf<T>(command: string, text: string): T {
  const reply = JSON.parse(text) as Reply;
  if (reply.error === undefined) return reply.return as T;
  throw new HoldfastError('TOOL_FAILED', `QEMU refused ${command}: ${reply.error.desc ?? 'no reason given'}`, {
    tool: 'qmp',
    command,
    class: reply.error.class ?? '',
  });
}

const ANSWER_MS = 10_000;

/**
 * Runs `work` on a monitor socket of its own. HYPERVISOR_UNAVAILABLE when nobody listens there, TIMED_OUT when QEMU does not
 * answer (its monitor serves one client at a time).
 */
export async function withMonitorSocket<T>(path: string, work: (qmp: Qmp) => Promise<T>): Promise<T> {
  const socket = createConnection(path);
  const waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];
  let broken: Error | undefined;
  const fail = (error: Error) => {
    broken ??= error;
    for (const one of waiting.splice(0)) one.reject(broken);
  };
  const gone = (cause?: unknown) =>
    new HoldfastError('HYPERVISOR_UNAVAILABLE', `The QEMU monitor at ${path} is closed.`, { path }, { cause });
  let buffer = '';
  socket.setEncoding('utf8');
  socket.on('error', (error) => fail(gone(error)));
  socket.on('close', () => fail(gone()));
  socket.on('data', (text: string) => {
    const lines = (buffer + text).split('\n');
    buffer = lines.pop() ?? '';
    for (const line of lines.filter((one) => one.trim() !== '')) {
      const reply = JSON.parse(line) as Reply;
      if (reply.event === undefined) waiting.shift()?.resolve(reply);
    }
  });
  const next = (what: string) =>
    new Promise<Reply>((resolve, reject) => {
      if (broken !== undefined) return reject(broken);
      const timer = setTimeout(() => {
        fail(new HoldfastError('TIMED_OUT', `QEMU did not answer ${what} at its monitor ${path}.`, { path }));
        socket.destroy();
      }, ANSWER_MS);
      waiting.push({
        resolve: (reply) => (clearTimeout(timer), resolve(reply)),
        reject: (error) => (clearTimeout(timer), reject(error)),
      });
    });
  const qmp: Qmp = {
    async execute<R>(command: string, args?: Record<string, unknown>): Promise<R> {
      const reply = next(command);
      socket.write(`${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) })}\n`);
      return resultOf<R>(command, JSON.stringify(await reply));
    },
  };
  try {
    await next('the greeting');
    await qmp.execute('qmp_capabilities');
    return await work(qmp);
  } finally {
    socket.destroy();
  }
}
