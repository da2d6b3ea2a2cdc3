/**
 * Guest agent calls of a test VM, through libvirt as the product does them. Owns no state.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestHost } from './test-host.js';

/** Result of a program that the guest agent ran. */
export interface GuestResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** One guest agent command; returns its `return` value. Throws with libvirt's error. */
export async function agentCall<T>(
  host: TestHost,
  domain: string,
  command: string,
  args?: Record<string, unknown>,
  timeoutSeconds = 30,
): Promise<T> {
  const call = JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }) });
  const answer = await host.virsh('qemu-agent-command', domain, '--timeout', String(timeoutSeconds), '--cmd', call);
  return (JSON.parse(answer) as { return: T }).return;
}

interface ExecStatus {
  exited: boolean;
  exitcode?: number;
  signal?: number;
  'out-data'?: string;
  'err-data'?: string;
}

/** Runs a program in the guest through the agent and waits for its end (at most `timeoutMs`). */
export async function agentExec(
  host: TestHost,
  domain: string,
  path: string,
  args: readonly string[],
  options: { input?: string | Uint8Array; timeoutMs?: number } = {},
): Promise<GuestResult> {
  const input = options.input === undefined ? {} : { 'input-data': Buffer.from(options.input).toString('base64') };
  const { pid } = await agentCall<{ pid: number }>(host, domain, 'guest-exec', {
    path,
    arg: args,
    'capture-output': true,
    ...input,
  });
  const deadline = Date.now() + (options.timeoutMs ?? 300_000);
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 250)) {
    const status = await agentCall<ExecStatus>(host, domain, 'guest-exec-status', { pid });
    if (status.exited) {
      return {
        exitCode: status.exitcode ?? -1,
        stdout: Buffer.from(status['out-data'] ?? '', 'base64').toString('utf8'),
        stderr: Buffer.from(status['err-data'] ?? '', 'base64').toString('utf8'),
      };
    }
    if (Date.now() > deadline) throw new Error(`${path} did not end in guest ${domain}`);
    await sleep(pauseMs);
  }
}
