import { expect, test } from '@jest/globals';
import { json, problem, runWith } from '../testing/fake-manager.js';
import { backup, id, operation } from '../testing/samples.js';

test('compact asks for it, and shows what the backup is then', async () => {
  const asks = {
    [`GET /backups/${id(2)}`]: json(backup(2, { sizeBytes: '3145728' })),
    [`POST /backups/${id(2)}/actions/compact`]: json(operation({ kind: 'CompactChain', state: 'Succeeded' }), 202),
  };
  const { exitCode, out, asked } = await runWith(asks, ['backup', 'compact', id(2), '--wait']);
  expect(exitCode).toBe(0);
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toContain(`POST /backups/${id(2)}/actions/compact`);
  expect(out).toContain('b2');
  expect(out).toContain('3 MiB');
});

test('compact of a backup with nothing to merge says so', async () => {
  const refused = problem(409, 'WRONG_STATE', 'There is nothing to merge into the backup "b2".');
  const asks = { [`GET /backups/${id(2)}`]: json(backup(2)), [`POST /backups/${id(2)}/actions/compact`]: refused };
  const { err } = await runWith(asks, ['backup', 'compact', id(2)]);
  expect(err).toContain('nothing to merge');
});
