/**
 * Speaks with the control shell of a test guest over its virtio-serial port. Works without a guest agent, while the agent
 * hangs and while file systems are frozen. One call at a time per VM.
 */
import { talkLines } from './unix-socket.js';

export interface ShellResult {
  exitCode: number;
  /** Standard output and standard error together. */
  output: string;
}

/** Runs a shell script in the guest behind the port's Unix socket. Throws when no answer comes within the deadline. */
export async function controlShell(socketPath: string, script: string, timeoutMs: number): Promise<ShellResult> {
  const line = await talkLines(socketPath, timeoutMs, (guest) => {
    guest.send(Buffer.from(script).toString('base64'));
    return guest.receive();
  });
  const [status, output] = line.split(' ');
  return { exitCode: Number(status), output: Buffer.from(output ?? '', 'base64').toString('utf8') };
}
