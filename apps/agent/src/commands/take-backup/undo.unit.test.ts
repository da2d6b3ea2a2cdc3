import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { silentLog } from '../../logging/silent-log.js';
import type { Json, RecordedStep, StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { undoTakeBackup } from './undo.js';

const MANIFEST = '/store/backups/vm/b/manifest.json';

/** What taking back does to a manifest that stands: nothing was put on the disks. */
async function takeBack(code: 'CANCELLED' | 'TIMED_OUT', resumed: boolean): Promise<{ events: string[]; warnings: string[] }> {
  const events: string[] = [];
  const warnings: string[] = [];
  const ports = {
    duties: { relieve: async () => undefined },
    storages: { acquire: async () => ({ root: '/store' }), release: async () => undefined },
    files: {
      list: async (path: string) => (path === '/store/backups/vm/b' && events.length === 0 ? ['manifest.json'] : undefined),
      rename: async (from: string) => void events.push(`rename ${from}`),
      stat: async (path: string) => (path === '/store/holdfast.json' ? {} : undefined),
      ...{ remove: async () => undefined, sync: async () => undefined, removeDirectory: async () => undefined },
    },
  } as unknown as CommandPorts;
  const context = {
    recorded: (name: string): RecordedStep | undefined =>
      name === 'prepare' ? { intent: {}, result: null, confirmed: true } : undefined,
    step: async (_name: string, _subject: string, intent: Json, act: (intent: Json) => Promise<Json>) => act(intent),
    warn: (message: string) => void warnings.push(message),
    ...{ resumed, log: silentLog },
  } as unknown as StepContext;
  const header = { operationId: 'o', vmUuid: 'vm', vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 };
  const request = { header, backupId: 'b', storage: { id: 's', name: 'nas' }, volumes: [] } as unknown as TakeBackupRequest;
  expect(await undoTakeBackup(ports, request, context, new HoldfastError(code, 'x'))).toEqual({ vmOutcome: 'AsBefore' });
  return { events, warnings };
}

describe('taking back a backup whose manifest stands', () => {
  it('takes it away for whoever cancels', async () => {
    expect(await takeBack('CANCELLED', false)).toMatchObject({ events: [`rename ${MANIFEST}`], warnings: [] });
  });

  it.each([
    ['CANCELLED', true],
    ['TIMED_OUT', false],
    ['TIMED_OUT', true],
  ] as const)(
    'leaves it to the manager, which may have taken it for a backup (%s, of an earlier life: %s)',
    async (code, resumed) => {
      const { events, warnings } = await takeBack(code, resumed);
      expect(events).toEqual([]);
      expect(warnings).toEqual([expect.stringContaining('Backup b is published')]);
    },
  );
});
