/**
 * The agent's settings: one schema, read from one YAML file. Owns names, defaults and checks; an error names the file, the key
 * and the way out. deploy/agent.example.yaml shows every setting.
 */
import { readFile } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { parse } from 'yaml';
import { z } from 'zod';

export const DEFAULT_CONFIG_FILE = '/etc/holdfast-agent/agent.yaml';

const directory = z
  .string()
  .regex(/^\/[^\0\n]*$/, 'must be an absolute path')
  .transform((path) => (path === '/' ? path : path.replace(/\/+$/, '')));

export const agentConfigSchema = z.strictObject({
  listen: z
    .string()
    .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be address:port, for example 0.0.0.0:7443')
    .default('0.0.0.0:7443')
    .describe('Where the manager reaches this agent'),
  stateDir: directory
    .default('/var/lib/holdfast-agent')
    .describe('Journals, leases and fencing tokens; on a local disk that survives a reboot'),
  mountRoot: directory.default('/var/lib/holdfast-agent/mnt').describe('Secondary storages are mounted below it'),
  primaryPools: z
    .array(directory)
    .min(1, 'name at least one directory that holds disks of VMs')
    .describe('The only directories with disks of VMs that the agent touches'),
  libvirtUri: z.string().min(1).default('qemu:///system'),
  libvirtLibDir: directory.default('/var/lib/libvirt').describe("libvirt's state directory, for the monitor sockets of QEMU"),
  startGuard: z
    .boolean()
    .default(true)
    .describe('Installs the libvirt hook that refuses to start a VM from a stale file; false takes it away'),
  libvirtHooksDir: directory.default('/etc/libvirt/hooks').describe("libvirt's folder of hooks"),
  maxConcurrentOperations: z
    .int()
    .min(0)
    .default(0)
    .describe("Operations that may run at once; 0: only the manager's setting limits them"),
  certificatesDir: directory
    .default('/etc/holdfast-agent/certificates')
    .describe('host.key, host.crt, ca.crt and host.json, as "holdfast-agent join" wrote them'),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  logFormat: z.enum(['json', 'text']).default('json'),
  undoPatienceMs: z
    .int()
    .min(0)
    .default(600_000)
    .describe('How long taking back, or finishing, is tried again before an operation ends with work left to CleanupBackupError'),
  domainPollMs: z
    .int()
    .min(100)
    .default(10_000)
    .describe('How often the domains are looked at for the manager; events of libvirt make it sooner'),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;

/** Reads and checks the file. CONFIGURATION_INVALID {file, key}. */
export async function readAgentConfig(file: string): Promise<AgentConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The configuration file ${file} cannot be read; create it (see agent.example.yaml) or name another with --config.`,
      { file },
      { cause },
    );
  }
  return parseAgentConfig(text, file);
}

/** The pure part of readAgentConfig. */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (cause) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The configuration file ${file} is not YAML: ${(cause as Error).message}`,
      { file },
      { cause },
    );
  }
  const parsed = agentConfigSchema.safeParse(raw ?? {});
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const key = issue?.code === 'unrecognized_keys' ? issue.keys.join(', ') : (issue?.path.join('.') ?? '');
  throw new HoldfastError(
    'CONFIGURATION_INVALID',
    `The configuration file ${file} is wrong at "${key}": ${issue?.message}. Correct it there (see agent.example.yaml).`,
    { file, key },
  );
}
