/** The OpenAPI document, out of the same schemas that validate. Owns its title and the names of its shapes. */
import type { INestApplication } from '@nestjs/common';
import { DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { z } from 'zod';
import { accountSchema, apiKeySchema, settingSchema } from '@holdfast/shared/api/access.js';
import { backupSchema, deletionPlanSchema, usageSchema } from '@holdfast/shared/api/backups.js';
import { problemSchema } from '@holdfast/shared/api/common.js';
import { hostSchema, supersededFileSchema, vmSchema, volumeSchema, zoneSchema } from '@holdfast/shared/api/inventory.js';
import { offeringSchema } from '@holdfast/shared/api/offerings.js';
import { operationSchema } from '@holdfast/shared/api/operations.js';
import { schedulePreviewSchema, scheduleSchema } from '@holdfast/shared/api/schedules.js';
import { storageSchema } from '@holdfast/shared/api/storage.js';

/** What routes answer, by the name under which the document shows it. */
export const NAMED_SCHEMAS = {
  Zone: zoneSchema,
  Host: hostSchema,
  Vm: vmSchema,
  Volume: volumeSchema,
  SupersededFile: supersededFileSchema,
  Storage: storageSchema,
  Offering: offeringSchema,
  Backup: backupSchema,
  Schedule: scheduleSchema,
  SchedulePreview: schedulePreviewSchema,
  DeletionPlan: deletionPlanSchema,
  Usage: usageSchema,
  Operation: operationSchema,
  Setting: settingSchema,
  Account: accountSchema,
  ApiKey: apiKeySchema,
  Problem: problemSchema,
} as const;

type JsonSchema = Record<string, unknown>;

function jsonSchemaOf(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  const shape = z.toJSONSchema(schema, { io, target: 'openapi-3.0', unrepresentable: 'any' }) as JsonSchema;
  delete shape['$schema'];
  return shape;
}

const REFERENCES = new Map<z.ZodType, string>(Object.entries(NAMED_SCHEMAS).map(([name, schema]) => [schema, name]));

/** A named shape as a reference, a list of named shapes likewise, everything else in place. */
function convert(schema: unknown, { schemaType }: { schemaType: 'input' | 'output' }): { schema: JsonSchema } | undefined {
  if (!(schema instanceof z.ZodType)) return undefined;
  const name = REFERENCES.get(schema);
  if (name !== undefined) return { schema: reference(name) };
  const shape = jsonSchemaOf(schema, schemaType);
  const items = schema instanceof z.ZodObject ? (schema.shape as Record<string, unknown>)['items'] : undefined;
  const itemName = items instanceof z.ZodArray ? REFERENCES.get(items.element as z.ZodType) : undefined;
  if (itemName !== undefined)
    Object.assign(shape['properties'] as JsonSchema, { items: { type: 'array', items: reference(itemName) } });
  return { schema: shape };
}

function reference(name: string): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}

export function apiDocument(app: INestApplication): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Holdfast')
    .setDescription(
      'Backup and recovery for virtual machines on KVM. Calls that start long work answer 202 with an operation; follow it at ' +
        '/operations/{id}/events. Errors are problem details (RFC 9457) whose `code` is stable. Lists are paged: give `next` as `after`.',
    )
    .setVersion('1')
    .addBearerAuth({ type: 'http', scheme: 'bearer', description: 'An API key' })
    .build();
  const document = SwaggerModule.createDocument(app, config, { standardSchemaConverter: convert });
  const named = Object.fromEntries(Object.entries(NAMED_SCHEMAS).map(([name, schema]) => [name, jsonSchemaOf(schema, 'output')]));
  document.components = { ...document.components, schemas: { ...document.components?.schemas, ...named } };
  return document;
}
