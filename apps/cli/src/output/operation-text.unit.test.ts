import { describe, expect, test } from '@jest/globals';
import { operation } from '../testing/samples.js';
import { changesBetween, operationText, planText } from './operation-text.js';

const at = '2026-11-21T10:00:00.000Z';
const volume = (doneBytes: string, totalBytes?: string) => ({ key: 'k', target: 'vda', phase: 'copy', doneBytes, totalBytes });

describe('what changed between two looks at an operation', () => {
  test('names steps that began, ended and failed, with the time they took', () => {
    const before = operation({ steps: [{ name: 'freeze', subject: '', state: 'Running', startedAt: at }] });
    const now = operation({
      steps: [
        { name: 'freeze', subject: '', state: 'Done', startedAt: at, finishedAt: '2026-11-21T10:00:00.250Z' },
        { name: 'copy', subject: 'vda', state: 'Running', startedAt: at },
      ],
    });
    expect(changesBetween(undefined, before)).toEqual(['freeze…']);
    expect(changesBetween(before, now)).toEqual(['freeze done (0.3 s)', 'copy vda…']);
    expect(changesBetween(now, now)).toEqual([]);
  });

  test('says progress in tenths, and nothing while the total is not known', () => {
    expect(changesBetween(undefined, operation({ progress: [volume('5')] }))).toEqual([]);
    expect(
      changesBetween(operation({ progress: [volume('51', '100')] }), operation({ progress: [volume('59', '100')] })),
    ).toEqual([]);
    expect(
      changesBetween(operation({ progress: [volume('59', '100')] }), operation({ progress: [volume('61', '100')] })),
    ).toEqual(['vda copy 61% (61 B of 100 B)']);
  });

  test('says new warnings once, who is waited for, and that it is undoing', () => {
    const before = operation({ warnings: ['one'] });
    const now = operation({ warnings: ['one', 'two'], waitingFor: 'host kvm-1 does not answer', state: 'Undoing' });
    expect(changesBetween(before, now)).toEqual(['waiting: host kvm-1 does not answer', 'undoing what was done', 'warning: two']);
  });
});

test('an operation in full names its error with the code', () => {
  const text = operationText(
    operation({ state: 'Failed', error: { code: 'STORAGE_FULL', message: 'The storage nas is full.', fields: {} } }),
  );
  expect(text).toContain('error      The storage nas is full. [STORAGE_FULL]');
});

test('a plan is numbered, and an empty one says so', () => {
  expect(planText(operation({ plan: ['merge d1 into vol', 'remove b2'] }))).toBe(
    'plan\n  1. merge d1 into vol\n  2. remove b2\n',
  );
  expect(planText(operation({ plan: [] }))).toBe('plan: nothing to do\n');
});
