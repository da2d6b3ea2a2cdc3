import { describe, expect, it } from '@jest/globals';
import type { CommandPorts } from '../ports.js';
import { discardUnpublished } from './discard-unpublished.js';

const FOLDER = '/store/backups/vm/b';

/**
 * What is done to a folder with these files, and what comes of it. `goesBefore`: the storage is unmounted before this call, and
 * back (`returns`) when its identity is asked for.
 */
async function discard(
  files: Record<string, string>,
  { goesBefore, returns = false }: { goesBefore?: string; returns?: boolean } = {},
): Promise<{ result: unknown; events: string[] }> {
  const events: string[] = [];
  const there = new Map(Object.entries({ ...files, '/store/holdfast.json': '{}' }));
  const kept = new Map(there);
  let gone = false;
  const call = (name: string): void => {
    if (name !== goesBefore || gone) return;
    gone = true;
    there.clear();
  };
  const ports = {
    files: {
      readText: async (path: string) => there.get(path),
      stat: async (path: string) => {
        if (returns && there.size === 0) for (const [name, text] of kept) there.set(name, text);
        return there.has(path) ? {} : undefined;
      },
      list: async (path: string) => {
        call('list');
        const names = [...there.keys()].flatMap((one) => (one.startsWith(`${path}/`) ? one.slice(path.length + 1) : []));
        return path === FOLDER && names.length === 0 && events.includes(`rmdir ${FOLDER}`) ? undefined : names;
      },
      remove: async (path: string) => {
        call('remove');
        there.delete(path);
        events.push(`remove ${path}`);
      },
      removeDirectory: async (path: string) => void events.push(`rmdir ${path}`),
      sync: async (paths: string | readonly string[]) => void events.push(...[paths].flat().map((path) => `sync ${path}`)),
    },
  } as unknown as CommandPorts;
  return { result: await discardUnpublished(ports, '/store', 'vm', 'b'), events };
}

describe('what nobody has seen published', () => {
  it('goes without a manifest', async () => {
    const { result, events } = await discard({ [`${FOLDER}/manifest.json.partial`]: '{', [`${FOLDER}/domain.xml`]: '' });
    expect(result).toEqual({});
    expect(events).toEqual(
      expect.arrayContaining([`remove ${FOLDER}/manifest.json.partial`, `remove ${FOLDER}/domain.xml`, `rmdir ${FOLDER}`]),
    );
  });

  it.each([{ goesBefore: 'list' }, { goesBefore: 'remove' }, { goesBefore: 'list', returns: true }])(
    'is not called gone when its storage went away meanwhile: %j',
    async (fault) => {
      await expect(discard({ [`${FOLDER}/domain.xml`]: '' }, fault)).rejects.toMatchObject({ code: 'STORAGE_MISSING' });
    },
  );

  it('is a backup with one: nothing of it is touched, and it is durable before anybody counts on it', async () => {
    const { result, events } = await discard({ [`${FOLDER}/manifest.json`]: '{}', [`${FOLDER}/domain.xml`]: '' });
    expect(result).toEqual({ manifest: '{}' });
    expect(events).toEqual([`sync ${FOLDER}`, 'sync /store/backups/vm', 'sync /store/backups']);
  });
});
