/** Reads the configuration: a YAML file, then the environment over it. Owns the clear errors. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { managerConfigSchema, type ManagerConfig } from './manager-config.js';

export const DEFAULT_CONFIG_FILE = '/etc/holdfast-manager/manager.yaml';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The file is HOLDFAST_MANAGER_CONFIG, else the default one where it exists. Over it: DATABASE_URL, HOLDFAST_DATA_DIR,
 * HOLDFAST_REST_LISTEN, HOLDFAST_GRPC_LISTEN. CONFIGURATION_INVALID names file, key and what is wrong.
 */
export async function loadConfig(env: Environment): Promise<ManagerConfig> {
  const chosen = env['HOLDFAST_MANAGER_CONFIG'];
  const file = chosen ?? DEFAULT_CONFIG_FILE;
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && chosen === undefined) return '';
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `The configuration file ${file} cannot be read (${error.code ?? error.message}). Check HOLDFAST_MANAGER_CONFIG.`,
      { path: file },
    );
  });
  return parseConfig(text, file, env);
}

/** As {@link loadConfig}, on text. */
export function parseConfig(text: string, file: string, env: Environment): ManagerConfig {
  let fromFile: unknown;
  try {
    fromFile = parse(text) ?? {};
  } catch (error) {
    throw new HoldfastError(
      'CONFIGURATION_INVALID',
      `${file} is not valid YAML: ${error instanceof Error ? error.message : String(error)}`,
      { path: file },
    );
  }
  if (typeof fromFile !== 'object' || fromFile === null || Array.isArray(fromFile)) {
    throw new HoldfastError('CONFIGURATION_INVALID', `${file} must hold "key: value" lines.`, { path: file });
  }
  const result = managerConfigSchema.safeParse(withEnvironment(fromFile as Record<string, unknown>, env));
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || '(top)'}: ${issue.message}`).join('; ');
  throw new HoldfastError('CONFIGURATION_INVALID', `The configuration (${file} and environment) is wrong: ${issues}`, {
    path: file,
  });
}

function withEnvironment(config: Record<string, unknown>, env: Environment): Record<string, unknown> {
  const merged = { ...config };
  const listen = (key: 'rest' | 'grpc', value: string | undefined): void => {
    if (value !== undefined && value !== '') merged[key] = { ...(merged[key] as object | undefined), listen: value };
  };
  if (env['DATABASE_URL']) merged['databaseUrl'] = env['DATABASE_URL'];
  if (env['HOLDFAST_DATA_DIR']) merged['dataDir'] = env['HOLDFAST_DATA_DIR'];
  listen('rest', env['HOLDFAST_REST_LISTEN']);
  listen('grpc', env['HOLDFAST_GRPC_LISTEN']);
  return merged;
}
