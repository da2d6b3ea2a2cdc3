import { describe, expect, test } from '@jest/globals';
import { deletionSchema, type Deletion } from '@holdfast/shared/api/backups.js';
import { events, json, page, runWith } from '../testing/fake-manager.js';
import { backup, id, operation, OPERATION_ID, vm, VM_ID } from '../testing/samples.js';

const gone = (n: number) => ({ id: id(n), name: `b${n}`, storageId: id(900), sizeBytes: '1048576' });
const answer = (change: object = {}, operations: object[] = []): Deletion =>
  deletionSchema.parse({
    plans: [
      {
        ...{ vmId: VM_ID, vmName: 'web-1\n', removed: [gone(1)], expunged: [gone(3)], chainEnds: [gone(2)] },
        ...{ mergesOnPrimary: true, freedBytes: '1048576', refusals: [], ...change },
      },
    ],
    operations,
  });
const one = { [`GET /backups/${id(3)}`]: json(backup(3)) };
const route = 'POST /backups/actions/delete';

describe('backup delete', () => {
  test('a dry run shows what goes, what stays and what ends', async () => {
    const { out, asked, exitCode } = await runWith({ ...one, [route]: json(answer()) }, [
      'backup',
      'delete',
      id(3),
      '--dry-run',
      '--forced',
    ]);
    expect(asked.at(-1)?.body).toEqual({ ids: [id(3)], forced: true, dryRun: true });
    expect(out.split('\n')).toEqual([
      'VM web-1\\n, 1 MiB on storage',
      `  - b3  1 MiB  its files go  ${id(3)}`,
      `  ~ b1  taken from sight, its files stay for others  ${id(1)}`,
      '  = b2  is the end of its chain then',
      '  = the open chain ends: its deltas on primary are merged, the next backup is full',
      '',
    ]);
    expect(exitCode).toBe(0);
  });

  test('several by name, waited for: the plan, then the end of the operation; one that failed decides the exit code', async () => {
    const started = operation({ kind: 'DeleteBackups' });
    const stream = `GET /operations/${OPERATION_ID}/events`;
    const found = { 'GET /backups': page(backup(1), backup(3)), [route]: json(answer({}, [started])) };
    const done = operation({ kind: 'DeleteBackups', state: 'Succeeded', revision: 2 });
    const well = await runWith({ ...found, [stream]: events(done) }, ['backup', 'delete', 'b1', 'b3', '--wait']);
    expect(well.asked.find(({ path }) => path.endsWith('/actions/delete'))?.body).toMatchObject({ ids: [id(1), id(3)] });
    expect([well.exitCode, well.out]).toEqual([0, expect.stringContaining('its files go')]);
    const error = { code: 'STORAGE_MISSING', message: 'It is away.', fields: {} };
    const failed = operation({ kind: 'DeleteBackups', state: 'Failed', revision: 2, error });
    const badly = await runWith({ ...found, [stream]: events(failed) }, ['backup', 'delete', 'b1', '--wait']);
    expect([badly.exitCode, badly.err]).toEqual([1, expect.stringContaining('It is away. [STORAGE_MISSING]')]);
  });

  test('backups or --all, not neither and not both', async () => {
    const found = { 'GET /vms': page(vm()), [route]: json(answer({}, [operation()])) };
    expect((await runWith({}, ['backup', 'delete'])).exitCode).toBe(2);
    expect((await runWith(found, ['backup', 'delete', id(1), '--all', 'web-1'])).exitCode).toBe(2);
    const { asked, out } = await runWith(found, ['backup', 'delete', '--all', 'web-1']);
    expect(asked.at(-1)?.body).toEqual({ vmId: VM_ID, all: true, forced: false, dryRun: false });
    expect(out).toContain(`holdfast operation watch ${OPERATION_ID}`);
  });
});

test('protect and unprotect say what they did', async () => {
  const { asked, out } = await runWith({ ...one, [`PATCH /backups/${id(3)}`]: json(backup(3, { protected: true })) }, [
    'backup',
    'protect',
    id(3),
  ]);
  expect([asked.at(-1)?.body, out]).toEqual([{ protected: true }, 'b3 is protected.\n']);
});

test('usage is a table by account', async () => {
  const items = [{ backups: 2, sizeBytes: '2097152', deletedBytes: '1048576' }];
  const { out } = await runWith({ 'GET /usage': json({ items }) }, ['backup', 'usage']);
  expect(out.split('\n')[1]).toMatch(/^\(no owner\) +2 +2 MiB +1 MiB$/);
});
