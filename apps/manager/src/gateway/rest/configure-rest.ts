/** Makes a Nest application the REST door: prefix, input rules, documentation. Must not listen. */
import { RequestMethod, type INestApplication } from '@nestjs/common';
import { SwaggerModule } from '@nestjs/swagger';
import { API_PREFIX } from './api-prefix.js';
import { InputPipe } from './input.pipe.js';
import { jsonOnly } from './json-only.js';
import { apiDocument } from './openapi/api-document.js';

/** Call once, before `init`. */
export function configureRest(app: INestApplication): void {
  app.setGlobalPrefix(API_PREFIX, { exclude: [{ path: 'healthz', method: RequestMethod.GET }] });
  app.use(jsonOnly);
  app.useGlobalPipes(new InputPipe());
  SwaggerModule.setup('api/docs', app, () => apiDocument(app), {
    jsonDocumentUrl: 'api/docs-json',
    yamlDocumentUrl: 'api/docs-yaml',
  });
}
