import { expect, test } from '@jest/globals';
import { openAnswer, sealAnswer } from './sealed-answer.js';

test('a sealed answer is opened by the same secret and by no other, and shows nothing', () => {
  const sealed = sealAnswer({ secret: 'hfk1.visible-once' }, 'key and idempotency key');
  expect(openAnswer(sealed, 'key and idempotency key')).toEqual({ secret: 'hfk1.visible-once' });
  expect(sealed.toString('latin1')).not.toContain('visible-once');
  expect(() => openAnswer(sealed, 'another')).toThrow();
});

test('an answer without a body is one too', () => {
  expect(openAnswer(sealAnswer(undefined, 's'), 's')).toBeUndefined();
});
