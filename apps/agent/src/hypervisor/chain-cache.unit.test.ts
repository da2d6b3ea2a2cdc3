import { describe, expect, it } from '@jest/globals';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageTool } from '../images/image-tool.js';
import type { FileFacts, FileLooks } from '../looks/file-looks.js';
import { ChainCache } from './chain-cache.js';

/** Files with a time of change; whatever asks about a hanging folder is timed out, with everything it asked beside it. */
class Files implements Pick<FileLooks, 'facts'> {
  readonly changed = new Map<string, number>();
  hanging = '';

  async facts(paths: readonly string[]): Promise<Map<string, FileFacts>> {
    if (this.hanging !== '' && paths.some((path) => path.startsWith(this.hanging)))
      throw new HoldfastError('TIMED_OUT', 'nothing was heard');
    const known = paths.filter((path) => this.changed.has(path));
    const same = { kind: 'file', identity: '1:7', inode: 7n, sizeBytes: 0n, allocatedBytes: 0n } as const;
    return new Map(known.map((path) => [path, { ...same, modified: String(this.changed.get(path)) }]));
  }
}

function rig() {
  const files = new Files();
  for (const path of ['/a/top', '/a/base', '/b/top']) files.changed.set(path, 1);
  const read: string[] = [];
  const layer = (path: string) => ({ path, format: 'qcow2' as const, inode: 7n, virtualSizeBytes: 1n, allocatedBytes: 1n });
  const images: Pick<ImageTool, 'chains'> = {
    async chains(disks) {
      read.push(...disks.map(({ path }) => path));
      return disks.map(({ path }) => (path === '/a/top' ? [layer('/a/top'), layer('/a/base')] : [layer(path)]));
    },
  };
  const cache = new ChainCache(files as Pick<FileLooks, 'facts'> as FileLooks, images as ImageTool);
  const ask = () =>
    cache.chains(
      [
        { path: '/a/top', format: 'qcow2' },
        { path: '/b/top', format: 'qcow2' },
      ],
      ['/'],
    );
  return { files, read, ask };
}

describe('ChainCache', () => {
  it('reads headers again only when a file of the chain has changed', async () => {
    const { files, read, ask } = rig();
    await ask();
    await ask();
    // The second look learned the stamps of the layers below.
    const known = read.length;
    expect((await ask()).get('/a/top')).toHaveLength(2);
    expect(read).toHaveLength(known);
    files.changed.set('/a/base', 2);
    await ask();
    expect(read.slice(known)).toEqual(['/a/top']);
  });

  it('shows a hanging storage as an error of its own disks alone', async () => {
    const { files, ask } = rig();
    files.hanging = '/b/';
    const answers = await ask();
    expect(answers.get('/a/top')).toHaveLength(2);
    expect(answers.get('/b/top')).toMatchObject({ code: 'STORAGE_HANGING' });
    files.hanging = '';
    expect((await ask()).get('/b/top')).toHaveLength(1);
  });
});
