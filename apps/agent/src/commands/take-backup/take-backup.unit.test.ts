import { describe, expect, it } from '@jest/globals';
import { silentLog } from '../../logging/silent-log.js';
import type { Attempt, Json, RecordedStep, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { takeBackupCommand } from './take-backup.js';

const BACKUP = '/store/backups/vm/b';
const manifest = { backupId: 'b' };

/** What a life does that finds the intent to publish and no end of it, up to the point of no return. */
async function resume(found: Record<string, string>): Promise<string[]> {
  const events: string[] = [];
  const steps = new Map<string, RecordedStep>([
    ['preflight', { intent: {}, result: { volumes: [], warnings: [] }, confirmed: true }],
    ['publish-manifest', { intent: { manifest }, confirmed: false }],
  ]);
  const ports = {
    storages: { acquire: async () => ({ root: '/store' }) },
    files: {
      readText: async (path: string) => found[path],
      writeText: async (path: string) => void events.push(`write ${path}`),
      rename: async (_from: string, to: string) => void events.push(`rename ${to}`),
      sync: async (paths: readonly string[]) => void events.push(...paths.map((path) => `sync ${path}`)),
    },
  } as unknown as CommandPorts;
  const context = {
    recorded: (name: string) => steps.get(name),
    step: async (name: string, _subject: string, _intent: Json, act: (intent: Json, attempt: Attempt) => Promise<Json>) => {
      const record = steps.get(name);
      if (record === undefined) throw new Error(`step ${name} is new`);
      return record.confirmed ? record.result : act(record.intent, { repeated: true });
    },
    pointOfNoReturn: async () => {
      throw new Error('point of no return');
    },
    ...{ pastPointOfNoReturn: false, signal: new AbortController().signal, log: silentLog, warn: () => undefined },
  } as unknown as StepContext;
  const header = { operationId: 'o', vmUuid: 'vm', vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 };
  const request = { header, backupId: 'b', storage: { id: 's', name: 's' }, volumes: [] } as unknown as TakeBackupRequest;
  await takeBackupCommand(ports)
    .run(request, context)
    .catch((thrown: Error) => events.push(thrown.message));
  return events;
}

describe('TakeBackup', () => {
  it('makes a manifest durable that an earlier life has only renamed, before anything is merged', async () => {
    const events = await resume({ [`${BACKUP}/manifest.json`]: `${JSON.stringify(manifest, null, 2)}\n` });
    expect(events.at(-1)).toBe('point of no return');
    expect(events.slice(0, -1).sort()).toEqual([`sync ${BACKUP}`, 'sync /store/backups', 'sync /store/backups/vm'].sort());
  });

  it('goes the whole way again when the manifest is not there', async () => {
    expect(await resume({})).toEqual(['step prepare is new']);
  });
});
