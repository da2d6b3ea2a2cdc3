/** The OpenAPI document of the running door: every route is in it, with the shapes that validate. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { OpenAPIObject } from '@nestjs/swagger';
import type { RestClient } from '../../testing/rest-client.js';
import { RestDoor } from '../../testing/rest-door.js';
import { CONTROLLERS } from '../controllers/controllers.js';
import { HealthController } from '../controllers/health.controller.js';
import { NAMED_SCHEMAS } from './api-document.js';

let door: RestDoor;
let rest: RestClient;
let document: OpenAPIObject;

beforeAll(async () => {
  door = await RestDoor.open();
  ({ rest } = door);
  document = (await rest.call('GET', '/api/docs-json')).body as unknown as OpenAPIObject;
});
afterAll(async () => {
  await door?.close();
});

interface Documented {
  readonly route: string;
  readonly operation: {
    summary?: string;
    parameters?: { name: string; in: string }[];
    requestBody?: { content: Record<string, { schema: Record<string, unknown> }> };
    responses: Record<string, { content?: Record<string, { schema: Record<string, unknown> }> }>;
    security?: unknown[];
  };
}

function documented(): Documented[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      route: `${method.toUpperCase()} ${path}`,
      operation: operation as Documented['operation'],
    })),
  );
}

/** Every route of every controller, as OpenAPI writes it. */
function declared(): string[] {
  return CONTROLLERS.filter((controller) => controller !== HealthController).flatMap((controller) => {
    const base = Reflect.getMetadata(PATH_METADATA, controller) as string;
    const prototype = controller.prototype as unknown as Record<string, object>;
    return Object.getOwnPropertyNames(prototype)
      .filter((name) => name !== 'constructor' && Reflect.hasMetadata(PATH_METADATA, prototype[name] ?? {}))
      .map((name) => {
        const own = (Reflect.getMetadata(PATH_METADATA, prototype[name] ?? {}) as string).replace(/^\//, '');
        const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, prototype[name] ?? {}) as number];
        return `${method} /api/v1/${base}${own === '' ? '' : `/${own}`}`.replace(/:(\w+)/g, '{$1}');
      });
  });
}

describe('the OpenAPI document', () => {
  test('holds every route, and no other', () => {
    expect(
      documented()
        .map((one) => one.route)
        .sort(),
    ).toEqual(declared().sort());
  });

  test('says of every route what it does and what it answers, errors included', () => {
    for (const { route, operation } of documented()) {
      const success = Object.entries(operation.responses).find(([status]) => status.startsWith('2'));
      expect([route, operation.summary]).toEqual([route, expect.stringMatching(/^[A-Z]/)]);
      expect([route, success?.[0]]).toEqual([route, expect.stringMatching(/^20[0124]$/)]);
      if (route.endsWith('/events')) continue;
      expect([route, Object.keys(operation.responses['default']?.content ?? {})]).toEqual([route, ['application/problem+json']]);
      if (success?.[0] !== '204')
        expect([route, success?.[1].content?.['application/json']?.schema]).toEqual([route, expect.objectContaining({})]);
    }
  });

  test('has the body of every changing route, and refuses further fields', () => {
    const withBody = documented().filter(
      ({ route }) => /^(POST|PUT|PATCH) /.test(route) && !/\/actions\/(cancel|check|run|compact|revert)$/.test(route),
    );
    expect(withBody.length).toBeGreaterThan(12);
    for (const { route, operation } of withBody) {
      const schema = operation.requestBody?.content['application/json']?.schema;
      expect([route, schema]).toEqual([route, expect.objectContaining({ type: 'object', additionalProperties: false })]);
    }
  });

  test('has the parameters of lists and the Idempotency-Key of every POST', () => {
    const list = documented().find(({ route }) => route === 'GET /api/v1/vms');
    expect(list?.operation.parameters?.map((one) => one.name).sort()).toEqual(['after', 'hostId', 'limit', 'name', 'zoneId']);
    for (const { route, operation } of documented().filter((one) => one.route.startsWith('POST '))) {
      expect([route, operation.parameters?.map((one) => one.name)]).toEqual([route, expect.arrayContaining(['Idempotency-Key'])]);
    }
  });

  test('names its shapes once, and every reference leads to one', () => {
    expect(Object.keys(document.components?.schemas ?? {})).toEqual(expect.arrayContaining(Object.keys(NAMED_SCHEMAS)));
    const references = JSON.stringify(document).match(/"#\/components\/schemas\/[^"]+"/g) ?? [];
    expect(references.length).toBeGreaterThan(30);
    for (const reference of new Set(references))
      expect(document.components?.schemas).toHaveProperty(reference.slice(1, -1).replace('#/components/schemas/', ''));
  });

  test('is there to be read by people', async () => {
    const page = await rest.call('GET', '/api/docs');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringContaining('text/html')]);
  });
});
