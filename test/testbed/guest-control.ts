/**
 * Speaks with the control shell of a test guest over its virtio-serial port. Works without a guest agent, while the agent
 * hangs and while file systems are frozen. Owns the one connection per call; only one call at a time per VM.
 */
import { open } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { basename, dirname } from 'node:path';

export interface ShellResult {
  exitCode: number;
  /** Standard output and standard error together. */
  output: string;
}

/** Runs a shell script in the guest behind the port's Unix socket. Throws when no answer comes within the deadline. */
export async function controlShell(socketPath: string, script: string, timeoutMs: number): Promise<ShellResult> {
  // The path of a Unix socket is limited to 107 bytes, which libvirt's own folders exceed: go through the open folder.
  const folder = await open(dirname(socketPath), 'r');
  const line = await new Promise<string>((resolve, reject) => {
    const socket = createConnection(`/proc/self/fd/${folder.fd}/${basename(socketPath)}`);
    let answer = '';
    const guard = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the guest's control shell did not answer within ${timeoutMs} ms`));
    }, timeoutMs);
    const finish = (settle: () => void) => {
      clearTimeout(guard);
      socket.destroy();
      settle();
    };
    socket.setEncoding('utf8');
    socket.once('connect', () => socket.write(`${Buffer.from(script).toString('base64')}\n`));
    socket.on('data', (chunk: string) => {
      answer += chunk;
      if (answer.endsWith('\n')) finish(() => resolve(answer.trim()));
    });
    socket.once('error', (error) => finish(() => reject(error)));
    socket.once('close', () => finish(() => reject(new Error('the guest closed its control port'))));
  }).finally(() => folder.close());
  const [status, output] = line.split(' ');
  return { exitCode: Number(status), output: Buffer.from(output ?? '', 'base64').toString('utf8') };
}
