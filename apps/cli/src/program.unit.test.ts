import { describe, expect, test } from '@jest/globals';
import { broken, events, json, page, problem, runWith } from './testing/fake-manager.js';
import { backup, id, operation, OPERATION_ID, vm, VM_ID } from './testing/samples.js';

describe('usage', () => {
  test('help teaches with examples and exit codes, and ends with 0', async () => {
    const { exitCode, out } = await runWith({}, ['--help']);
    expect(exitCode).toBe(0);
    expect(out).toContain('First steps:');
    expect(out).toMatch(/Exit codes:\n {2}0 {2}done/);
  });

  test.each([
    [['nonsense'], 'unknown command'],
    [['zone', 'create'], "missing required argument 'name'"],
    [['backup', 'create', 'web-1', '--quiesce=maybe'], 'Allowed choices are require, try, no'],
    [['offering', 'create', 'gold', '--chain-size', 'many'], 'must be a whole number'],
    [['zone', 'create', 'berlin', 'extra'], 'too many arguments'],
    [['--output', 'xml', 'zone', 'list'], 'Allowed choices are table, json'],
  ])('%j is wrong usage: exit code 2', async (argv, words) => {
    const { exitCode, err, asked } = await runWith({}, argv);
    expect(err).toContain(words);
    expect(exitCode).toBe(2);
    expect(asked).toEqual([]);
  });

  test('without an address or a key it says how to give them', async () => {
    const noUrl = await runWith({}, ['zone', 'list'], {});
    expect([noUrl.exitCode, noUrl.err]).toEqual([2, expect.stringContaining('HOLDFAST_URL')]);
    const noKey = await runWith({}, ['zone', 'list'], { HOLDFAST_URL: 'https://m' });
    expect([noKey.exitCode, noKey.err]).toEqual([2, expect.stringContaining('HOLDFAST_API_KEY')]);
    const badUrl = await runWith({}, ['zone', 'list'], { HOLDFAST_URL: 'm:1', HOLDFAST_API_KEY: 'k' });
    expect([badUrl.exitCode, badUrl.err]).toEqual([2, expect.stringContaining('not a http:// or https:// address')]);
  });
});

describe('errors', () => {
  test('show message and code; exit codes follow the code', async () => {
    const invalid = problem(400, 'INVALID_INPUT', 'The input is wrong. name: a name must not be empty.', [
      { path: 'name', message: 'a name must not be empty' },
    ]);
    const { exitCode, err } = await runWith({ 'POST /zones': invalid }, ['zone', 'create', ' ']);
    expect(err).toBe('holdfast: The input is wrong. name: a name must not be empty. [INVALID_INPUT]\n');
    expect(exitCode).toBe(2);
    expect((await runWith({ 'GET /zones': problem(401, 'UNAUTHENTICATED', 'no') }, ['zone', 'list'])).exitCode).toBe(4);
    expect((await runWith({ 'GET /zones': problem(503, 'HOST_UNAVAILABLE', 'no') }, ['zone', 'list'])).exitCode).toBe(5);
    expect((await runWith({ 'GET /zones': problem(500, 'BUG', 'no') }, ['zone', 'list'])).exitCode).toBe(1);
  });

  test('are JSON on the error stream for tools, and nothing on the output', async () => {
    const { exitCode, out, err } = await runWith({ 'GET /zones': problem(403, 'FORBIDDEN', 'no') }, [
      '-o',
      'json',
      'zone',
      'list',
    ]);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'FORBIDDEN', message: 'no', exitCode: 4 } });
    expect([exitCode, out]).toEqual([4, '']);
  });

  test('a manager that does not answer is named with its address: exit code 5', async () => {
    const { exitCode, err } = await runWith({ 'GET /zones': broken() }, ['zone', 'list']);
    expect(err).toContain('https://m.example does not answer (ECONNREFUSED)');
    expect(exitCode).toBe(5);
  });

  test('a certificate that is not trusted says how to give the CA: exit code 4', async () => {
    const { exitCode, err } = await runWith({ 'GET /zones': broken('SELF_SIGNED_CERT_IN_CHAIN') }, ['zone', 'list']);
    expect(err).toContain('--ca-file');
    expect(exitCode).toBe(4);
  });

  test('something that is no manager is told apart', async () => {
    const html = (): Response => new Response('<html>', { headers: { 'content-type': 'text/html' } });
    const { exitCode, err } = await runWith({ 'GET /zones': html }, ['zone', 'list']);
    expect(err).toContain('does not answer like a Holdfast manager');
    expect(exitCode).toBe(2);
  });
});

describe('names and ids', () => {
  test('a VM is found by its name, whatever characters it has', async () => {
    const name = `it's "a b"\n$(x);&`;
    const { exitCode, out, asked } = await runWith(
      { 'GET /vms': page(vm({ name })), [`GET /vms/${VM_ID}/volumes`]: page(), 'GET /backups': page() },
      ['vm', 'show', name],
    );
    expect(new URL(`http://x${asked[0]?.path}`).searchParams.get('name')).toBe(name);
    expect(out).toContain(`it's "a b"\\n$(x);&`);
    expect(exitCode).toBe(0);
  });

  test('an ambiguous name is refused with the ids: exit code 2', async () => {
    const { exitCode, err } = await runWith({ 'GET /vms': page(vm({ id: id(1) }), vm({ id: id(2) })) }, ['vm', 'show', 'web-1']);
    expect(err).toContain(`${id(1)}, ${id(2)}`);
    expect(exitCode).toBe(2);
  });

  test('an unknown name says where to look: exit code 3', async () => {
    const { exitCode, err } = await runWith({ 'GET /backup-offerings': page() }, ['offering', 'delete', 'gold']);
    expect(err).toContain('There is no offering "gold". See: holdfast offering list');
    expect(exitCode).toBe(3);
  });

  test('lists are read page by page', async () => {
    const zone = (n: number) => ({ id: id(n), name: `z${n}`, createdAt: '2026-11-21T10:00:00.000Z' });
    const { out, asked } = await runWith(
      { 'GET /zones': [json({ items: [zone(1)], next: 'abc' }), json({ items: [zone(2)] })] },
      ['-o', 'json', 'zone', 'list'],
    );
    expect(JSON.parse(out)).toEqual([zone(1), zone(2)]);
    expect(asked[1]?.path).toContain('after=abc');
  });

  test('the only zone is meant when none is named; of several one must be', async () => {
    const zones = [1, 2].map((n) => ({ id: id(n), name: `z${n}`, createdAt: '2026-11-21T10:00:00.000Z' }));
    const token = json({ token: 'hfj1.x.y', expiresAt: '2026-11-21T11:00:00.000Z' }, 201);
    const one = await runWith({ 'GET /zones': page(zones[0]), 'POST /hosts/join-tokens': token }, ['host', 'token']);
    expect(one.asked.at(-1)?.body).toEqual({ zoneId: id(1), validSeconds: 3600 });
    const two = await runWith({ 'GET /zones': page(...zones) }, ['host', 'token']);
    expect([two.exitCode, two.err]).toEqual([2, expect.stringContaining('--zone')]);
  });
});

describe('work that takes time', () => {
  const found = { 'GET /vms': page(vm()) };
  const started = { ...found, [`POST /vms/${VM_ID}/backups`]: json(operation(), 202) };
  const stream = `GET /operations/${OPERATION_ID}/events`;
  const done = operation({ state: 'Succeeded', revision: 3, backupId: id(1) });

  test('without --wait the operation is named, and how to follow it', async () => {
    const { exitCode, out, asked } = await runWith(started, ['backup', 'create', 'web-1', '--quiesce', '--isolated']);
    expect(out).toContain(`holdfast operation watch ${OPERATION_ID}`);
    expect(asked[1]?.body).toEqual({ description: '', isolated: true, quiesce: 'require' });
    expect(asked[1]?.headers.get('idempotency-key')).toMatch(/^[0-9a-f-]{36}$/);
    expect(exitCode).toBe(0);
  });

  test('with --wait progress goes to the error stream and the backup to the output', async () => {
    const copying = operation({
      revision: 2,
      progress: [{ key: 'k', target: 'vda', phase: 'copy', doneBytes: '5', totalBytes: '10' }],
    });
    const { exitCode, out, err } = await runWith(
      {
        ...started,
        [stream]: events(copying, done),
        [`GET /backups/${id(1)}`]: json(backup(1, { fullReason: 'it is the first' })),
      },
      ['backup', 'create', 'web-1', '--wait'],
    );
    expect(err).toBe('vda copy 50% (5 B of 10 B)\n');
    expect(out).toBe(`b1: FULL, full because it is the first, 1 MiB\n${id(1)}\n`);
    expect(exitCode).toBe(0);
  });

  test('for tools the finished operation alone is printed', async () => {
    const { out, err } = await runWith({ ...started, [stream]: events(done) }, [
      '-o',
      'json',
      'backup',
      'create',
      'web-1',
      '--wait',
    ]);
    expect(JSON.parse(out)).toEqual(done);
    expect(err).toBe('');
  });

  test('work that fails ends with exit code 1, its message and code, even when the reason would pass by itself', async () => {
    const failed = operation({
      state: 'Failed',
      revision: 2,
      error: { code: 'HOST_UNAVAILABLE', message: 'The host is gone.', fields: {} },
    });
    const { exitCode, err } = await runWith({ ...started, [stream]: events(failed) }, ['backup', 'create', 'web-1', '--wait']);
    expect(err).toContain('failed: The host is gone. [HOST_UNAVAILABLE]');
    expect(exitCode).toBe(1);
  });

  test('a manager that goes away while work is watched is waited for, from the revision that was seen', async () => {
    const { exitCode, err, asked } = await runWith(
      {
        ...started,
        [stream]: [events(operation({ revision: 2 })), broken('ECONNRESET'), events(done)],
        [`GET /operations/${OPERATION_ID}`]: broken(),
        [`GET /backups/${id(1)}`]: json(backup(1)),
      },
      ['backup', 'create', 'web-1', '--wait'],
    );
    expect(err).toContain('the work goes on');
    expect(asked.filter((one) => one.path.endsWith('/events')).map((one) => one.headers.get('last-event-id'))).toEqual([
      '1',
      '2',
      '2',
    ]);
    expect(exitCode).toBe(0);
  });

  test('a manager that stays away ends the waiting with exit code 5', async () => {
    const { exitCode } = await runWith({ ...started, [stream]: broken() }, ['backup', 'create', 'web-1', '--wait']);
    expect(exitCode).toBe(5);
  });

  test('an operation that was finished before it is watched is reported at once', async () => {
    const { exitCode, out } = await runWith({ [`GET /operations/${OPERATION_ID}`]: json(done) }, [
      'operation',
      'watch',
      OPERATION_ID,
    ]);
    expect([exitCode, out]).toEqual([0, expect.stringContaining('Succeeded')]);
  });

  test('a dry run waits by itself and prints the plan', async () => {
    const planned = operation({ kind: 'CleanupBackupError', state: 'Succeeded', plan: ['merge d1 into vol'] });
    const { out, asked } = await runWith({ ...found, [`POST /vms/${VM_ID}/actions/finish-backup-chain`]: json(planned, 202) }, [
      'vm',
      'finish-chain',
      'web-1',
      '--dry-run',
    ]);
    expect(asked[1]?.body).toEqual({ dryRun: true });
    expect(out).toBe('plan\n  1. merge d1 into vol\nNothing was changed.\n');
  });

  test('restore passes on what was asked and says where the former files are', async () => {
    const restored = operation({ kind: 'RestoreBackup', state: 'Succeeded' });
    const { out, asked } = await runWith(
      { [`GET /backups/${id(1)}`]: json(backup(1)), [`POST /backups/${id(1)}/actions/restore`]: json(restored, 202) },
      ['backup', 'restore', id(1), '--accept-damaged', '--drop-snapshots', '--wait'],
    );
    expect(asked[1]?.body).toEqual({ acceptDamaged: true, dropSnapshots: true });
    expect(out).toContain(`holdfast vm superseded ${VM_ID}`);
  });

  test('releasing wants one file or --all, not neither and not both', async () => {
    expect((await runWith(found, ['vm', 'release', 'web-1'])).exitCode).toBe(2);
    expect((await runWith(found, ['vm', 'release', 'web-1', id(3), '--all'])).exitCode).toBe(2);
    const all = await runWith({ ...found, [`DELETE /vms/${VM_ID}/superseded-files`]: json(operation(), 202) }, [
      'vm',
      'release',
      'web-1',
      '--all',
    ]);
    expect(all.exitCode).toBe(0);
  });
});
