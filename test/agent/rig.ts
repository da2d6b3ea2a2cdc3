/**
 * The agent's adapters, aimed at a test host from outside: its libvirt by socket, its process table through its own /proc.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { VirshHypervisor, type VirshHypervisorOptions } from '../../apps/agent/src/hypervisor/virsh-hypervisor.js';
import { QemuImgTool } from '../../apps/agent/src/images/qemu-img-tool.js';
import { ChildFileLooks } from '../../apps/agent/src/looks/child-file-looks.js';
import type { Log } from '../../apps/agent/src/logging/log.js';
import { ExecaToolRunner } from '../../apps/agent/src/process/execa-tool-runner.js';
import type { ToolCall, ToolResult, ToolRunner } from '../../apps/agent/src/process/tool-runner.js';
import type { TestHost } from '../testbed/test-host.js';

export const silentLog: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** Runs tools for real and keeps what was run. */
export class CountingRunner implements ToolRunner {
  readonly calls: string[][] = [];
  private readonly real = new ExecaToolRunner(silentLog);

  run(tool: string, args: readonly string[], call: ToolCall): Promise<ToolResult> {
    this.calls.push([tool, ...args]);
    return this.real.run(tool, args, call);
  }

  must(tool: string, args: readonly string[], call: ToolCall): Promise<string> {
    this.calls.push([tool, ...args]);
    return this.real.must(tool, args, call);
  }
}

export function imageTool(tools: ToolRunner = new CountingRunner()): QemuImgTool {
  return new QemuImgTool({ tools, looks: new ChildFileLooks(tools), log: silentLog });
}

export function hypervisorOf(
  host: TestHost,
  tools: ToolRunner = new CountingRunner(),
  allowedRoots: readonly string[] = [host.dir],
  more: Pick<VirshHypervisorOptions, 'sessions'> = {},
): VirshHypervisor {
  const init = readFileSync(join(host.dir, 'init.pid'), 'utf8').trim();
  return new VirshHypervisor({
    tools,
    looks: new ChildFileLooks(tools),
    images: imageTool(tools),
    uri: host.uri,
    libDir: join(host.dir, 'lib'),
    procDir: `/proc/${init}/root/proc`,
    allowedRoots: () => allowedRoots,
    log: silentLog,
    ...more,
  });
}
