/**
 * Talks line by line over Unix sockets: the guest's control port and a daemon's QMP.
 * Owns the connection for the length of one call.
 */
import { open } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { basename, dirname } from 'node:path';

/** A connected socket: `send` writes a line, `receive` gives the next line that arrives. */
export interface LineConnection {
  send(line: string): void;
  receive(): Promise<string>;
}

/**
 * Connects, runs `talk` and disconnects. Rejects when the peer closes or `timeoutMs` pass.
 * The path of a Unix socket is limited to 107 bytes, which libvirt's own folders exceed: it is reached through its open
 * folder instead.
 */
export async function talkLines<T>(
  path: string,
  timeoutMs: number,
  talk: (connection: LineConnection) => Promise<T>,
): Promise<T> {
  const folder = await open(dirname(path), 'r');
  const socket = createConnection(`/proc/self/fd/${folder.fd}/${basename(path)}`);
  let stop: (error: Error) => void = () => undefined;
  const failure = new Promise<never>((_resolve, reject) => (stop = reject));
  const guard = setTimeout(() => stop(new Error(`no answer from ${path} within ${timeoutMs} ms`)), timeoutMs);
  socket.once('error', (error) => stop(error));
  socket.once('close', () => stop(new Error(`${path} was closed by its other end`)));
  try {
    return await Promise.race([talk(lineConnection(socket)), failure]);
  } finally {
    clearTimeout(guard);
    socket.destroy();
    await folder.close();
  }
}

function lineConnection(socket: Socket): LineConnection {
  const lines: string[] = [];
  let waiting: (() => void) | undefined;
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    lines.push(...parts);
    if (parts.length > 0) waiting?.();
  });
  return {
    send: (line) => void socket.write(`${line}\n`),
    receive: async () => {
      while (lines.length === 0) await new Promise<void>((resolve) => (waiting = resolve));
      return lines.shift() as string;
    },
  };
}
