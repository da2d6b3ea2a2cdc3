/**
 * What this host lacks for being backed up, and which mount helpers it has: for `holdfast-agent check`, and for the log of an agent
 * that starts. Owns the list of tools; changes nothing.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { readHostCertificates } from './certificates/host-certificates.js';
import { readAgentConfig, type AgentConfig } from './config/agent-config.js';
import { silentLog } from './logging/silent-log.js';
import { ExecaToolRunner } from './process/execa-tool-runner.js';
import { findTool, searchPath } from './process/find-tool.js';
import type { ToolRunner } from './process/tool-runner.js';
import { describeHelpers, HELPER_DIRECTORIES } from './secondary/mount-helpers.js';

/** Tool → Debian package. */
const TOOLS: Readonly<Record<string, string>> = {
  virsh: 'libvirt-clients',
  'qemu-img': 'qemu-utils',
  b3sum: 'b3sum',
  mount: 'mount',
  umount: 'mount',
  setpriv: 'util-linux',
  find: 'findutils',
  cp: 'coreutils',
  dd: 'coreutils',
  df: 'coreutils',
  head: 'coreutils',
  mkdir: 'coreutils',
  mv: 'coreutils',
  realpath: 'coreutils',
  rm: 'coreutils',
  rmdir: 'coreutils',
  stat: 'coreutils',
  sync: 'coreutils',
};

const CALL = { deadlineMs: 15_000 };

export interface HostCheck {
  /** Sentences about what is missing or wrong; empty when all is well. */
  readonly problems: readonly string[];
  /** Sentences about what only some storages need. */
  readonly information: readonly string[];
}

export async function checkHost(configFile: string, helperDirectories = HELPER_DIRECTORIES): Promise<HostCheck> {
  return { problems: await findProblems(configFile), information: await describeHelpers(helperDirectories) };
}

/** What keeps a running agent from its work, in sentences: missing tools; else pools and a libvirt that do not answer. */
export async function findLacks(
  { primaryPools, libvirtUri }: Pick<AgentConfig, 'primaryPools' | 'libvirtUri'>,
  tools: ToolRunner,
): Promise<string[]> {
  const lacks = await missingTools();
  if (lacks.length > 0) return lacks;
  const note = (thrown: unknown): undefined => void lacks.push(HoldfastError.from(thrown).message);
  for (const pool of primaryPools) {
    const answer = await tools.run('stat', ['-L', '-c', '%F', '--', pool], CALL).catch(note);
    if (answer?.stdout.trim() !== 'directory')
      lacks.push(`The primary pool ${pool} is not a directory of this host, or does not answer.`);
  }
  const libvirt = await tools.run('virsh', ['-c', libvirtUri, 'version'], CALL).catch(note);
  if (libvirt?.exitCode !== 0) lacks.push(`libvirt at ${libvirtUri} does not answer: ${libvirt?.stderr.trim() ?? 'no answer'}`);
  return lacks;
}

async function findProblems(configFile: string): Promise<string[]> {
  const problems: string[] = [];
  const note = (thrown: unknown): undefined => void problems.push(HoldfastError.from(thrown).message);
  const config = await readAgentConfig(configFile).catch(note);
  if (config === undefined) return [...(await missingTools()), ...problems];
  await readHostCertificates(config.certificatesDir).catch(note);
  return [...problems, ...(await findLacks(config, new ExecaToolRunner(silentLog)))];
}

async function missingTools(): Promise<string[]> {
  const directories = searchPath(process.env['PATH']);
  const missing: string[] = [];
  for (const [tool, inPackage] of Object.entries(TOOLS)) {
    if ((await findTool(tool, directories)) === undefined)
      missing.push(`The tool ${tool} is missing; install the package ${inPackage}.`);
  }
  return missing;
}
