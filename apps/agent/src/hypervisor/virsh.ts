/**
 * Calls of virsh: argument arrays, a deadline each, and what a failure means. Owns the words of the virsh command line.
 * Nothing here is decided by the text of an error: after a failure libvirt is asked again, and its answer decides.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ToolResult, ToolRunner } from '../process/tool-runner.js';
import type { VirshSessions } from './virsh-sessions.js';

const DEADLINE_MS = 20_000;
const PROBE_MS = 5_000;
/** Between the answers of a batch. Nothing that libvirt prints about a domain begins a line like this and is this long. */
const MARK = '@@holdfast-next-answer-7c1f0f58-3b1e-4a0e-9d7a-1f9d5f0f6f11@@';
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export interface VirshCall {
  readonly deadlineMs?: number;
  /** The domain that the call is about: when libvirt does not know it, a failure is NOT_FOUND. */
  readonly uuid?: string;
}

export class Virsh {
  /** `sessions`: whom questions are put to first; without them each is a process. */
  constructor(
    private readonly tools: ToolRunner,
    private readonly uri: string,
    private readonly sessions?: Pick<VirshSessions, 'ask'>,
  ) {}

  /** One command; returns its standard output. HYPERVISOR_UNAVAILABLE, NOT_FOUND, TOOL_FAILED or TIMED_OUT. */
  async call(args: readonly string[], call: VirshCall = {}): Promise<string> {
    const result = await this.run(args, call.deadlineMs ?? DEADLINE_MS);
    if (result.exitCode === 0) return result.stdout;
    throw await this.explain(args, result, call.uuid);
  }

  /**
   * As call, for a command that changes nothing, is made of fixed words and UUIDs alone, and says something when it succeeds.
   */
  async read(args: readonly string[], call: VirshCall = {}): Promise<string> {
    const answer = await this.kept(args.join(' '), call.deadlineMs ?? DEADLINE_MS);
    return answer === undefined ? this.call(args, call) : `${answer}\n`;
  }

  /**
   * What a kept virsh says to one such command, as a line of its shell; undefined when it says nothing, which proves nothing: ask in
   * a process of its own then. TIMED_OUT.
   */
  async kept(command: string, deadlineMs: number): Promise<string | undefined> {
    const [answer = ''] = (await this.sessions?.ask([command], deadlineMs)) ?? [];
    return answer === '' ? undefined : answer;
  }

  /**
   * Several questions over one connection, without a process for each. Returns the output of each; that of a failed one is empty, so an
   * empty answer proves nothing. The commands must be made of fixed words and UUIDs alone. Throws when libvirt cannot be reached.
   */
  async batch(commands: readonly string[], deadlineMs = DEADLINE_MS): Promise<string[]> {
    if (commands.length === 0) return [];
    const kept = await this.sessions?.ask(commands, deadlineMs);
    return kept ?? (await this.inOneProcess([...commands, 'echo'], deadlineMs)).slice(0, -1);
  }

  /**
   * As batch, but the failure of the last command is thrown: what that one says is what libvirt answered, also when it is
   * nothing. virsh goes on after a failed command, over a new connection if need be, and exits with the code of its last one.
   */
  async batchWithProof(commands: readonly string[], deadlineMs = DEADLINE_MS): Promise<string[]> {
    const kept = await this.sessions?.ask(commands, deadlineMs);
    // From a kept virsh no exit code comes: there, only what was said is proof.
    return kept !== undefined && kept.at(-1) !== '' ? kept : this.inOneProcess(commands, deadlineMs);
  }

  private async inOneProcess(commands: readonly string[], deadlineMs: number): Promise<string[]> {
    const result = await this.run([commands.join(`; echo --str ${MARK}; `)], deadlineMs);
    const answers = result.stdout.split(MARK);
    if (result.exitCode !== 0 || answers.length !== commands.length) throw await this.explain(['batch'], result, undefined);
    return answers.map((answer) => answer.replace(/^\n+|\n+$/g, ''));
  }

  /** True when libvirtd answers within a short time. */
  async answers(): Promise<boolean> {
    try {
      const kept = await this.sessions?.ask([], PROBE_MS);
      return kept !== undefined || (await this.run(['uri'], PROBE_MS)).exitCode === 0;
    } catch (thrown) {
      const { code } = HoldfastError.from(thrown);
      if (code === 'TIMED_OUT' || code === 'INTERRUPTED') return false;
      throw thrown;
    }
  }

  private run(args: readonly string[], deadlineMs: number): Promise<ToolResult> {
    return this.tools.run('virsh', ['-q', '-c', this.uri, ...args], { deadlineMs });
  }

  private async explain(args: readonly string[], result: ToolResult, uuid: string | undefined): Promise<HoldfastError> {
    const stderr = result.stderr.slice(-2000).trim();
    const fields = { tool: 'virsh', exitCode: String(result.exitCode), stderr, ...(uuid === undefined ? {} : { vmId: uuid }) };
    if (!(await this.answers())) {
      return new HoldfastError(
        'HYPERVISOR_UNAVAILABLE',
        `libvirt at ${this.uri} does not answer. Start libvirtd; Holdfast goes on by itself.`,
        fields,
      );
    }
    if (uuid !== undefined && !(await this.knows(uuid))) {
      return new HoldfastError('NOT_FOUND', `libvirt at ${this.uri} does not know the VM ${uuid}.`, fields);
    }
    return new HoldfastError('TOOL_FAILED', `virsh ${args[0]} was refused by libvirt: ${stderr}`, fields);
  }

  private async knows(uuid: string): Promise<boolean> {
    const list = await this.run(['list', '--all', '--uuid'], PROBE_MS);
    // No answer is no evidence that the domain is gone.
    return list.exitCode !== 0 || list.stdout.split('\n').includes(uuid);
  }
}

/** Domains are addressed by UUID alone: a name may look like an option or a number. INVALID_INPUT for anything else. */
export function demandUuid(uuid: string): void {
  if (!UUID.test(uuid))
    throw new HoldfastError('INVALID_INPUT', `${JSON.stringify(uuid)} is not the UUID of a VM.`, { vmId: uuid });
}
