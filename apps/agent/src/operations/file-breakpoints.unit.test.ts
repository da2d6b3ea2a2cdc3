import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileBreakpoints } from './file-breakpoints.js';

describe('FileBreakpoints', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-breakpoints-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('stops at the named place alone, says so, and goes on when the file is gone', async () => {
    await writeFile(join(dir, 'freeze.vm.before'), '');
    const breakpoints = new FileBreakpoints(dir);
    await breakpoints.reached('freeze', '', 'after');
    await breakpoints.reached('freeze', 'vda', 'before');
    let gone = false;
    const held = breakpoints.reached('freeze', '', 'before').then(() => {
      expect(gone).toBe(true);
    });
    while (!(await readdir(dir)).includes('freeze.vm.before.reached')) await new Promise((resolve) => setTimeout(resolve, 5));
    gone = true;
    await rm(join(dir, 'freeze.vm.before'));
    await held;
  });
});
