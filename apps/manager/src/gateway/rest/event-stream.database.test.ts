/** The event stream of an operation over a real PostgreSQL: what is sent, from where on, and when it ends. */
import { once } from 'node:events';
import { request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { OPERATION_CHANNEL } from '../../operations/operation-queue.js';
import { OperationsService } from '../../operations/operations.service.js';
import { waitFor } from '../../testing/wait-for.js';
import { Authorizer } from '../access/authorizer.js';
import type { Fixtures } from '../testing/fixtures.js';
import type { RestClient } from '../testing/rest-client.js';
import { RestDoor } from '../testing/rest-door.js';

let door: RestDoor;
let app: INestApplication;
let rest: RestClient;
let the: Fixtures;

beforeAll(async () => {
  door = await RestDoor.open();
  ({ app, rest, the } = door);
});
afterAll(async () => {
  await door?.close();
});

async function start(): Promise<string> {
  const answer = await rest.call('POST', `/api/v1/vms/${the.mine}/actions/finish-backup-chain`, {
    key: the.userKey,
    body: { dryRun: true },
  });
  return answer.body['id'] as string;
}

/** What the worker of an operation would write. */
async function change(id: string, state: string): Promise<void> {
  const finished = state === 'Succeeded' ? ', finished_at = now()' : '';
  await app
    .get(DataSource)
    .query(`UPDATE operation SET state = $2, revision = revision + 1${finished} WHERE id = $1`, [id, state]);
  await app.get(DataSource).query('SELECT pg_notify($1, $2)', [OPERATION_CHANNEL, id]);
}

async function follow(id: string, headers: Record<string, string> = {}, key = the.userKey): Promise<Response> {
  return rest.open('GET', `/api/v1/operations/${id}/events`, { key, headers: { accept: 'text/event-stream', ...headers } });
}

/** States and revisions of the events in a stream. */
function eventsOf(text: string): { id: number; state: string }[] {
  return text
    .split('\n\n')
    .filter((block) => block.includes('event: operation'))
    .map((block) => ({
      id: Number(/^id: (\d+)$/m.exec(block)?.[1]),
      state: (JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '{}') as { state: string }).state,
    }));
}

describe('the event stream of an operation', () => {
  test('begins with the operation as it is, follows its changes, and ends with the finished one', async () => {
    const id = await start();
    const response = await follow(id);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('Queued')) text += (await reader?.read())?.value ?? '';
    await change(id, 'Running');
    while (!text.includes('Running')) text += (await reader?.read())?.value ?? '';
    await change(id, 'Succeeded');
    for (let chunk = await reader?.read(); chunk?.done === false; chunk = await reader?.read()) text += chunk.value;
    expect(eventsOf(text).map((one) => one.state)).toEqual(['Queued', 'Running', 'Succeeded']);
    const ids = eventsOf(text).map((one) => one.id);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  test('goes on after the revision that a reader has seen', async () => {
    const id = await start();
    await change(id, 'Running');
    const seen = (await rest.call('GET', `/api/v1/operations/${id}`, { key: the.userKey })).body['revision'] as number;
    const response = await follow(id, { 'last-event-id': String(seen) });
    await change(id, 'Succeeded');
    expect(eventsOf(await response.text())).toEqual([{ id: seen + 1, state: 'Succeeded' }]);
  });

  test('has nothing more to say of a finished operation whose end was seen', async () => {
    const id = await start();
    await change(id, 'Succeeded');
    const [event] = eventsOf(await (await follow(id)).text());
    expect(event?.state).toBe('Succeeded');
    expect((await follow(id, { 'last-event-id': String(event?.id) })).status).toBe(204);
  });

  test('of an operation that does not exist, or without a key, is a problem and no stream', async () => {
    const missing = await follow('00000000-0000-4000-8000-00000000dead');
    expect([missing.status, missing.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
    expect((await follow(await start(), {}, 'wrong')).status).toBe(401);
  });

  test('is left by a reader without a trace: the next one sees everything', async () => {
    const id = await start();
    const left = await follow(id);
    await left.body?.cancel();
    const next = await follow(id);
    await change(id, 'Succeeded');
    expect(eventsOf(await next.text()).at(-1)?.state).toBe('Succeeded');
  });

  test.each(['authorized', 'looked up'])(
    'of a reader that leaves while it is %s is ended, and not only forgotten',
    async (when) => {
      const id = await start();
      const [place, method] = when === 'authorized' ? [app.get(Authorizer), 'authorize'] : [app.get(OperationsService), 'get'];
      const stages = place as unknown as Record<string, (...given: unknown[]) => Promise<unknown>>;
      const real = stages[method]?.bind(place);
      const reached = gate();
      const goOn = gate();
      stages[method] = async (...given) => {
        reached.open();
        await goOn.opened;
        return real?.(...given);
      };
      const server = app.getHttpServer() as Server;
      const answered = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
      try {
        const reader = request(`${await app.getUrl()}/api/v1/operations/${id}/events`, {
          headers: { authorization: `Bearer ${the.userKey}` },
        });
        reader.on('error', () => undefined).end();
        const [, response] = await answered;
        await reached.opened;
        reader.destroy();
        if (!response.destroyed) await once(response, 'close');
        goOn.open();
        await waitFor('the end of the response', () => response.writableEnded || undefined);
      } finally {
        delete stages[method];
      }
    },
  );
});

function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}
