/** `holdfast schedule …` against a manager in memory. */
import { describe, expect, test } from '@jest/globals';
import { scheduleSchema, type Schedule } from '@holdfast/shared/api/schedules.js';
import { json, page, problem, runWith } from '../testing/fake-manager.js';
import { id, operation, vm, VM_ID } from '../testing/samples.js';

const ID = id(70);
const schedule = (changes: Partial<Record<keyof Schedule, unknown>> = {}): Schedule =>
  scheduleSchema.parse({
    id: ID,
    vmId: VM_ID,
    name: 'nightly',
    when: 'daily at 02:00',
    cron: '0 2 * * *',
    timeZone: 'Europe/Berlin',
    jitterSeconds: 0,
    quiesce: 'no',
    isolated: false,
    enabled: true,
    catchUp: true,
    nextRunAt: '2026-11-22T01:00:00.000Z',
    createdAt: '2026-11-21T10:00:00.000Z',
    ...changes,
  });
const preview = {
  cron: '0 2 * * *',
  runs: [{ at: '2026-11-22T01:00:00.000Z', local: '2026-11-22T02:00:00+01:00' }],
  retention: [
    { backupId: id(1), name: 'b2', frozenAt: '2026-11-21T01:00:00.000Z', keep: true, reasons: ['it is the newest'] },
    {
      backupId: id(2),
      name: 'b1',
      frozenAt: '2026-11-20T01:00:00.000Z',
      keep: false,
      reasons: ['keepLast: older than the newest backup'],
    },
  ],
};
const routes = {
  'GET /vms': page(vm()),
  'GET /backup-schedules': page(schedule()),
  [`POST /vms/${VM_ID}/backup-schedules/preview`]: json(preview),
  [`POST /vms/${VM_ID}/backup-schedules`]: json(schedule({ idleReason: 'the VM "web-1" has no backup offering' }), 201),
  [`PATCH /backup-schedules/${ID}`]: json(schedule({ enabled: false })),
};
const CREATE = [
  'schedule',
  'create',
  'web-1',
  'nightly',
  '--when',
  'daily at 02:00',
  '--time-zone',
  'Europe/Berlin',
  '--keep-daily',
  '7',
];
const env = { HOLDFAST_URL: 'https://m.example', HOLDFAST_API_KEY: 'k' };

describe('a schedule', () => {
  test('is created after its next runs were shown and somebody agreed', async () => {
    const { exitCode, out, err, asked } = await runWith(routes, CREATE, env, 'y');
    expect(exitCode).toBe(0);
    expect(out).toContain('2026-11-22 01:00:00Z  2026-11-22T02:00:00+01:00');
    expect(err).toContain('Create the schedule "nightly"? [y/N]');
    expect(out).toContain('It does not fire yet: the VM "web-1" has no backup offering.');
    expect(asked.map((one) => one.path.split('?')[0])).toEqual([
      '/vms',
      `/vms/${VM_ID}/backup-schedules/preview`,
      `/vms/${VM_ID}/backup-schedules`,
    ]);
    expect(asked[2]?.body).toMatchObject({ name: 'nightly', when: 'daily at 02:00', retention: { keepDaily: 7 }, catchUp: true });
  });

  test.each([['n'], ['']])('is not created when the answer is "%s"', async (answer) => {
    const { exitCode, asked } = await runWith(routes, CREATE, env, answer);
    expect([exitCode, asked.length]).toEqual([2, 2]);
  });

  test('is created without a question with --yes, and where nobody can be asked', async () => {
    for (const argv of [
      [...CREATE, '--yes'],
      ['-o', 'json', ...CREATE],
    ]) {
      const { exitCode, asked } = await runWith(routes, argv);
      expect([exitCode, asked.length]).toEqual([0, 3]);
    }
    const { exitCode, asked } = await runWith(routes, [...CREATE, '--yes', '--no-catch-up', '--disabled'], env, 'n');
    expect([exitCode, asked[2]?.body]).toEqual([0, expect.objectContaining({ catchUp: false, enabled: false })]);
  });

  test('that never fires is refused before anything is created', async () => {
    const wrong = problem(400, 'INVALID_INPUT', 'The schedule is wrong. when: "0 2 30 2 *" never comes.');
    const { exitCode, err, asked } = await runWith({ ...routes, [`POST /vms/${VM_ID}/backup-schedules/preview`]: wrong }, [
      'schedule',
      'create',
      'web-1',
      'never',
      '--when',
      '0 2 30 2 *',
      '--yes',
    ]);
    expect([exitCode, asked.length]).toEqual([2, 2]);
    expect(err).toContain('never comes');
  });

  test('is shown with its runs, and with which backups its retention lets go and why', async () => {
    const { exitCode, out } = await runWith(routes, ['schedule', 'show', 'nightly']);
    expect(exitCode).toBe(0);
    expect(out).toContain('daily at 02:00 (cron: 0 2 * * *)');
    expect(out).toContain('retention: 1 of 2 go');
    expect(out).toMatch(/b1 +GOES +keepLast: older than the newest backup/);
  });

  test('is changed by what is given alone', async () => {
    const { exitCode, asked } = await runWith(routes, ['schedule', 'update', 'nightly', '--enabled', 'no', '--keep-everything']);
    expect([exitCode, asked[1]?.body]).toEqual([0, { enabled: false, retention: null }]);
    const both = await runWith(routes, ['schedule', 'update', 'nightly', '--keep-last', '3', '--keep-everything']);
    expect([both.exitCode, both.asked]).toEqual([2, []]);
  });

  test('is pruned, or only said to be: what goes is shown with its reason', async () => {
    const path = `POST /backup-schedules/${ID}/actions/apply-retention`;
    const said = await runWith({ ...routes, [path]: json({ retention: preview.retention }) }, [
      'schedule',
      'prune',
      'nightly',
      '--dry-run',
    ]);
    expect([said.exitCode, said.asked[1]?.body]).toEqual([0, { dryRun: true }]);
    expect(said.out).toMatch(/b1 +GOES[^]*Nothing was deleted/);
    const done = await runWith({ ...routes, [path]: json({ retention: preview.retention, operation: operation() }) }, [
      'schedule',
      'prune',
      'nightly',
    ]);
    expect([done.exitCode, done.asked[1]?.body]).toEqual([0, { dryRun: false }]);
    expect(done.out).toMatch(/b1 +GOES/);
  });

  test('is listed, with why one does not fire; run; deleted', async () => {
    const idle = { ...routes, 'GET /backup-schedules': page(schedule({ idleReason: 'the schedule is disabled' })) };
    expect((await runWith(idle, ['schedule', 'list'])).out).toContain('the schedule is disabled');
    const ran = await runWith({ ...routes, [`POST /backup-schedules/${ID}/actions/run`]: json(operation(), 202) }, [
      'schedule',
      'run',
      'nightly',
    ]);
    expect(ran.exitCode).toBe(0);
    const gone = await runWith({ ...routes, [`DELETE /backup-schedules/${ID}`]: () => new Response(null, { status: 204 }) }, [
      'schedule',
      'delete',
      'nightly',
    ]);
    expect([gone.exitCode, gone.out]).toEqual([0, 'Deleted schedule nightly. Its backups stay.\n']);
  });
});
