/** Makes a Nest application the REST door: prefix, input rules, documentation. Must not listen. */
import { RequestMethod, type INestApplication } from '@nestjs/common';
import { SwaggerModule } from '@nestjs/swagger';
import { API_PREFIX } from './api-prefix.js';
import { InputPipe } from './input.pipe.js';
import { jsonOnly } from './json-only.js';
import { DOCS_PATH, knownPlaces } from './known-places.js';
import { apiDocument } from './openapi/api-document.js';

/** Call once, before `init`. */
export function configureRest(app: INestApplication): void {
  app.setGlobalPrefix(API_PREFIX, { exclude: [{ path: 'healthz', method: RequestMethod.GET }] });
  app.use(knownPlaces);
  app.use(jsonOnly);
  app.useGlobalPipes(new InputPipe());
  SwaggerModule.setup(DOCS_PATH, app, () => apiDocument(app), {
    jsonDocumentUrl: `${DOCS_PATH}-json`,
    yamlDocumentUrl: `${DOCS_PATH}-yaml`,
  });
}
