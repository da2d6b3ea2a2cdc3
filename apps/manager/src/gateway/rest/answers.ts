/** How a route describes its answer once, for Nest and for the OpenAPI document. */
import { applyDecorators, HttpCode } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { operationSchema } from '@holdfast/shared/api/operations.js';

const problem = ApiResponse({
  status: 'default',
  description: 'Problem details (RFC 9457)',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

/** `summary`: what the route does, in a sentence. */
export function Answers(status: 200 | 201, summary: string, schema: z.ZodType): MethodDecorator {
  return applyDecorators(
    HttpCode(status),
    ApiOperation({ summary }),
    ApiResponse({ status, description: 'Done', standardSchema: schema }),
    ApiBearerAuth(),
    problem,
  );
}

/** 202 with the operation, and its address in `Location`. */
export function AnswersOperation(summary: string): MethodDecorator {
  return applyDecorators(
    HttpCode(202),
    ApiOperation({ summary }),
    ApiResponse({
      status: 202,
      description: 'Started; follow the operation',
      standardSchema: operationSchema,
      headers: { Location: { description: 'The operation', schema: { type: 'string' } } },
    }),
    ApiBearerAuth(),
    problem,
  );
}

export function AnswersNothing(summary: string): MethodDecorator {
  return applyDecorators(
    HttpCode(204),
    ApiOperation({ summary }),
    ApiResponse({ status: 204, description: 'Done' }),
    ApiBearerAuth(),
    problem,
  );
}

/** Every POST may carry one. */
export const TakesIdempotencyKey = ApiHeader({
  name: 'Idempotency-Key',
  required: false,
  description:
    'Any text of up to 255 characters. The same key with the same request within a day answers as the first time and never acts twice.',
});

/** `{ items }` of a list that has no pages. */
export function itemsSchema<T extends z.ZodType>(item: T): z.ZodObject<{ items: z.ZodArray<T> }> {
  return z.object({ items: z.array(item) });
}
