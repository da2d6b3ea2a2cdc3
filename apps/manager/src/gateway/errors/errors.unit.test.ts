import 'reflect-metadata';
import { describe, expect, test } from '@jest/globals';
import { BadRequestException, NotFoundException, PayloadTooLargeException } from '@nestjs/common';
import { createZoneSchema } from '@holdfast/shared/api/inventory.js';
import { problemSchema } from '@holdfast/shared/api/common.js';
import { ERROR_CODES, type ErrorCode } from '@holdfast/shared/errors/error-codes.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { problemOf } from '../rest/problem.js';
import { strict } from '../rest/strict.js';
import { InvalidInput, parseInput } from './invalid-input.js';
import { toHoldfastError } from './to-holdfast-error.js';

describe('problem details', () => {
  test('exist for every code, with the status of the one table', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const problem = problemOf(new HoldfastError(code, 'what and the way out', { vmId: 'x' }), '/api/v1/x');
      expect(problemSchema.parse(problem)).toMatchObject({
        code,
        status: ERROR_CODES[code].http,
        retryable: ERROR_CODES[code].retryable,
      });
      expect(problem.type).toMatch(/^urn:holdfast:error:[a-z-]+$/);
    }
  });

  test('name each wrong field', () => {
    const problem = problemOf(new InvalidInput([{ path: 'name', message: 'a name must not be empty' }]), '/');
    expect(problem.issues).toEqual([{ path: 'name', message: 'a name must not be empty' }]);
    expect(problem.detail).toBe('The input is wrong. name: a name must not be empty.');
  });
});

describe('input that a schema refuses', () => {
  const issuesOf = (input: unknown): unknown => {
    try {
      parseInput(strict(createZoneSchema), input);
    } catch (error) {
      return error instanceof InvalidInput ? error.issues : error;
    }
    return [];
  };

  test('names fields that the shape does not have, one by one', () => {
    expect(issuesOf({ name: 'a', colour: 1, size: 2 })).toEqual([
      { path: 'colour', message: 'there is no such field' },
      { path: 'size', message: 'there is no such field' },
    ]);
  });

  test('names a missing field', () => {
    expect(issuesOf({})).toEqual([{ path: 'name', message: expect.stringContaining('expected string') }]);
  });
});

describe('errors of others', () => {
  test('are answered as a bug with a reference and without their text', () => {
    const error = toHoldfastError(new Error('password=hunter2'), 'ref-1');
    expect([error.code, error.message]).toEqual(['BUG', expect.stringContaining('ref-1')]);
    expect(error.message).not.toContain('hunter2');
    expect(toHoldfastError(new HoldfastError('BUG', 'SELECT secret'), 'ref-2').message).not.toContain('SELECT');
  });

  test('of a database that is away may be tried again, others of it are ours', () => {
    expect(toHoldfastError(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'r')).toMatchObject({
      code: 'INTERRUPTED',
      retryable: true,
    });
    expect(toHoldfastError({ driverError: { code: '57P01' } }, 'r').code).toBe('INTERRUPTED');
    expect(toHoldfastError({ driverError: { code: '42601' } }, 'r').code).toBe('BUG');
  });

  test('of the web framework become ours', () => {
    expect(toHoldfastError(new NotFoundException('Cannot GET /api/v1/nope'), 'r')).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('GET /api/v1/nope'),
    });
    expect(toHoldfastError(new BadRequestException('Unexpected token'), 'r').code).toBe('INVALID_INPUT');
    expect(toHoldfastError(new PayloadTooLargeException(), 'r').code).toBe('INVALID_INPUT');
  });
});
