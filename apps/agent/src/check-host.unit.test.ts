import { expect, test } from '@jest/globals';
import { checkHost } from './check-host.js';

test('a missing mount helper is information and no problem', async () => {
  const { problems, information } = await checkHost('/nowhere/agent.yaml', ['/nowhere']);
  expect(information.map((sentence) => sentence.split(' ', 3).join(' '))).toEqual([
    'mount.nfs4 is not',
    'mount.nfs is not',
    'mount.cifs is not',
    'mount.ceph is not',
  ]);
  expect(problems.length).toBeGreaterThan(0);
  expect(problems.join('\n')).not.toContain('mount.');
});
