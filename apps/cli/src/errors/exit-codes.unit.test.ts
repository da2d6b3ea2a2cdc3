import { expect, test } from '@jest/globals';
import { ERROR_CODES } from '@holdfast/shared/errors/error-codes.js';
import { EXIT, exitCodeOf } from './cli-error.js';

test.each([
  ['INVALID_INPUT', EXIT.usage],
  ['NAME_TAKEN', EXIT.usage],
  ['IN_USE', EXIT.usage],
  ['VM_RUNNING', EXIT.usage],
  ['NOT_FOUND', EXIT.notFound],
  ['UNAUTHENTICATED', EXIT.notAllowed],
  ['FORBIDDEN', EXIT.notAllowed],
  ['TOKEN_EXPIRED', EXIT.notAllowed],
  ['CERTIFICATE_REFUSED', EXIT.notAllowed],
  ['VM_BUSY', EXIT.unavailable],
  ['HOST_UNAVAILABLE', EXIT.unavailable],
  ['STORAGE_FULL', EXIT.failed],
  ['BACKUP_DAMAGED', EXIT.failed],
  ['BUG', EXIT.failed],
  ['A_CODE_OF_TOMORROW', EXIT.failed],
])('%s ends with exit code %i', (code, exitCode) => {
  expect(exitCodeOf(code)).toBe(exitCode);
});

test('no error code ends with the code of success', () => {
  for (const code of Object.keys(ERROR_CODES)) expect(exitCodeOf(code)).not.toBe(EXIT.ok);
});
