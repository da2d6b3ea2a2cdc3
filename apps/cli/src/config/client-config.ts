/**
 * Where the manager is and with which key to speak: options, then environment, then the configuration file.
 * Must not connect.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CliError } from '../errors/cli-error.js';
import { messageOf, systemCode } from '../errors/system-error.js';

const fileSchema = z.strictObject({ url: z.string().optional(), key: z.string().optional(), caFile: z.string().optional() });

export interface ClientConfig {
  readonly url: string;
  readonly key: string;
  /** PEM file of the CA that signed the manager's certificate; undefined: the system's. */
  readonly caFile: string | undefined;
}

export interface ConfigSources {
  readonly options: { readonly url?: string; readonly key?: string; readonly caFile?: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDirectory: string;
}

/** Of the configuration file: `$XDG_CONFIG_HOME/holdfast/config.json`, by default under ~/.config. */
export function configFilePath(env: ConfigSources['env'], homeDirectory: string): string {
  return join(env['XDG_CONFIG_HOME'] || join(homeDirectory, '.config'), 'holdfast', 'config.json');
}

/** Resolved configuration. Throws CliError CONFIGURATION_INVALID naming what is missing or wrong and where it can be given. */
export async function loadClientConfig(sources: ConfigSources): Promise<ClientConfig> {
  const path = configFilePath(sources.env, sources.homeDirectory);
  const file = await readConfigFile(path);
  const url = sources.options.url ?? sources.env['HOLDFAST_URL'] ?? file.url;
  const key = sources.options.key ?? sources.env['HOLDFAST_API_KEY'] ?? file.key;
  const caFile = sources.options.caFile ?? sources.env['HOLDFAST_CA_FILE'] ?? file.caFile;
  if (!url) throw invalid(`Which manager? Give --url, set HOLDFAST_URL, or write {"url": "https://…", "key": "…"} to ${path}.`);
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
    throw invalid(`"${url}" is not a http:// or https:// address of a manager.`);
  if (!key) throw invalid(`No API key. Set HOLDFAST_API_KEY, give --key, or write it to ${path}.`);
  if (/[^\x21-\x7e]/.test(key)) throw invalid('The API key contains characters that no key has (spaces or line ends?).');
  return { url, key, caFile };
}

async function readConfigFile(path: string): Promise<z.infer<typeof fileSchema>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return {};
    throw invalid(`${path} cannot be read: ${messageOf(error)}`);
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw invalid(`${path} is not JSON.`);
  }
  const parsed = fileSchema.safeParse(data);
  if (!parsed.success) throw invalid(`${path}: ${z.prettifyError(parsed.error)}. It may have url, key and caFile.`);
  return parsed.data;
}

function invalid(message: string): CliError {
  return new CliError('CONFIGURATION_INVALID', message);
}
