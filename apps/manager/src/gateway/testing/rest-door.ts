/**
 * The REST door over real services and a database of its own, listening, with the fixtures in it: what tests of the gateway
 * begin with. Owns its start and its end.
 */
import type { INestApplication } from '@nestjs/common';
import { configureRest } from '../rest/configure-rest.js';
import { makeFixtures, type Fixtures } from './fixtures.js';
import { gatewayApp } from './gateway-app.js';
import { RestClient } from './rest-client.js';
import { openTestDatabase, type TestDatabase } from './test-database.js';

export class RestDoor {
  private constructor(
    readonly app: INestApplication,
    readonly rest: RestClient,
    readonly the: Fixtures,
    private readonly database: TestDatabase,
  ) {}

  static async open(): Promise<RestDoor> {
    const database = await openTestDatabase();
    const app = await gatewayApp(database);
    configureRest(app);
    await app.listen(0, '127.0.0.1');
    return new RestDoor(app, new RestClient(await app.getUrl()), await makeFixtures(app), database);
  }

  async close(): Promise<void> {
    await this.app.close();
    await this.database.remove();
  }
}
