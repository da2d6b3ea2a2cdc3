/** `holdfast snapshot`: what it asks of the manager, and how a snapshot is named. */
import { describe, expect, it } from '@jest/globals';
import { json, page, runWith, type Routes } from '../testing/fake-manager.js';
import { id, operation, vm, VM_ID } from '../testing/samples.js';

const one = (name: string, number: number, change: object = {}) => ({
  id: id(number),
  vmId: VM_ID,
  name,
  description: '',
  origin: 'holdfast',
  state: 'Ready',
  current: false,
  leftToVirsh: false,
  volumes: [{ target: 'vda', path: '/pool/a' }],
  createdAt: `2026-11-21T10:0${number}:00.000Z`,
  ...change,
});
const routes = (...items: object[]): Routes => ({
  'GET /vms': page(vm()),
  [`GET /vms/${VM_ID}/snapshots`]: json({ items }),
});

describe('holdfast snapshot', () => {
  it('create asks for what was said, and shows what came of it', async () => {
    const done = operation({ kind: 'TakeVmSnapshot', state: 'Succeeded', vmSnapshotId: id(7) as never });
    const { out, asked } = await runWith(
      { ...routes(), [`POST /vms/${VM_ID}/snapshots`]: json(done, 202), [`GET /vm-snapshots/${id(7)}`]: json(one('s', 7)) },
      ['snapshot', 'create', 'web-1', '--name', 's', '--volume', 'vda', 'vdb', '--quiesce=try', '--wait'],
    );
    expect(asked[1]?.body).toEqual({ name: 's', description: '', quiesce: 'try', volumes: ['vda', 'vdb'] });
    expect(out).toBe(`s: Ready, vda\n${id(7)}\n`);
  });

  it('list draws the tree', async () => {
    const { out } = await runWith(routes(one('a', 1), one('b', 2, { parentId: id(1), current: true })), [
      'snapshot',
      'list',
      'web-1',
    ]);
    expect(out).toContain('└─ b *');
  });

  it.each([['revert'], ['delete']])('%s takes a name with its VM', async (verb) => {
    const route = verb === 'revert' ? `POST /vm-snapshots/${id(1)}/actions/revert` : `DELETE /vm-snapshots/${id(1)}`;
    const { exitCode, asked } = await runWith({ ...routes(one('a', 1), one('b', 2)), [route]: json(operation(), 202) }, [
      'snapshot',
      verb,
      'a',
      '--vm',
      'web-1',
    ]);
    expect(exitCode).toBe(0);
    expect(`${asked.at(-1)?.method} ${asked.at(-1)?.path}`).toBe(route);
  });

  it.each([
    ['a name without its VM', ['a'], 2, '--vm'],
    ['a snapshot of another VM', [id(9), '--vm', 'web-1'], 3, 'has no snapshot'],
    ['a name that two have', ['twice', '--vm', 'web-1'], 2, 'Several snapshots'],
  ])('%s is refused, and nothing is asked for', async (_what, argv, code, words) => {
    const twice = [one('twice', 3, { state: 'Failed' }), one('twice', 4)];
    const { exitCode, err, asked } = await runWith(routes(one('a', 1), ...twice), ['snapshot', 'revert', ...argv]);
    expect([exitCode, err]).toEqual([code, expect.stringContaining(words)]);
    expect(asked.every(({ method }) => method === 'GET')).toBe(true);
  });
});
