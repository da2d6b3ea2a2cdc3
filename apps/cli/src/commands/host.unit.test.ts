/** `holdfast host …` against a manager in memory. */
import { describe, expect, test } from '@jest/globals';
import { hostSchema, type Host } from '@holdfast/shared/api/inventory.js';
import { json, page, problem, runWith } from '../testing/fake-manager.js';
import { id } from '../testing/samples.js';

const ID = id(50);
const host = (changes: Partial<Record<keyof Host, unknown>> = {}): Host =>
  hostSchema.parse({
    id: ID,
    zoneId: id(1),
    name: 'kvm1',
    address: 'kvm1.example:7443',
    state: 'Up',
    enabled: true,
    primaryPools: [],
    createdAt: '2026-11-21T10:00:00.000Z',
    ...changes,
  });
const found = { 'GET /hosts': page(host()) };
const update = `PATCH /hosts/${ID}`;

describe('host update', () => {
  test.each([
    [['--name', `it's "b"`], { name: `it's "b"` }],
    [['--address', 'kvm2:7443'], { address: 'kvm2:7443' }],
    [['--name', 'kvm2', '--address', 'kvm2:7443'], { name: 'kvm2', address: 'kvm2:7443' }],
  ])('%j changes only what is given', async (options, body) => {
    const routes = { ...found, [update]: json(host(body)) };
    const { exitCode, out, asked } = await runWith(routes, ['host', 'update', 'kvm1', ...options]);
    expect(asked.at(-1)).toMatchObject({ method: 'PATCH', path: `/hosts/${ID}` });
    expect(asked.at(-1)?.body).toEqual(body);
    const changed = host(body);
    expect([exitCode, out]).toEqual([0, `Host ${changed.name} is at ${changed.address}.\n`]);
  });

  test('with nothing to change is wrong usage', async () => {
    const { exitCode, err, asked } = await runWith(found, ['host', 'update', 'kvm1']);
    expect([exitCode, asked]).toEqual([2, []]);
    expect(err).toContain('--name, --address, or both');
  });

  test('to a name that is taken is refused in the words of the manager', async () => {
    const taken = problem(409, 'NAME_TAKEN', 'There already is a host named "kvm2". Choose another name.');
    const { exitCode, err } = await runWith({ ...found, [update]: taken }, ['host', 'update', 'kvm1', '--name', 'kvm2']);
    expect([exitCode, err]).toEqual([2, 'holdfast: There already is a host named "kvm2". Choose another name. [NAME_TAKEN]\n']);
  });
});

test('host show tells what the machine calls itself', async () => {
  const { out } = await runWith({ 'GET /hosts': page(host({ hostname: 'node-7.example' })) }, ['host', 'show', 'kvm1']);
  expect(out).toMatch(/^calls itself +node-7\.example$/m);
  expect((await runWith(found, ['host', 'show', 'kvm1'])).out).not.toContain('node-7');
});

test('there is one command that makes a token', async () => {
  expect(await runWith({}, ['host', 'join-token'])).toMatchObject({ exitCode: 2, asked: [] });
});

describe('host delete', () => {
  test.each([
    [[], '', 'Deleted host kvm1.\n'],
    [['--lost'], '?lost=true', 'Deleted host kvm1, with its VMs gone.\n'],
  ])('%j', async (options, query, words) => {
    const routes = { ...found, [`DELETE /hosts/${ID}`]: () => new Response(null, { status: 204 }) };
    const { exitCode, out, asked } = await runWith(routes, ['host', 'delete', 'kvm1', ...options]);
    expect([exitCode, out]).toEqual([0, words]);
    expect(asked.at(-1)).toMatchObject({ method: 'DELETE', path: `/hosts/${ID}${query}` });
  });
});
