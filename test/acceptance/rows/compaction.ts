/** Compaction: a chain without an end, whose oldest backup is deleted again and again. */
import assert from 'node:assert/strict';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { waitUntil } from '../../testbed/wait-until.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

const SETTING = '/settings/backup.compaction.enabled';

async function show({ stack }: Scenario, { id }: Backup): Promise<Backup> {
  return stack.api.get<Backup>(`/backups/${id}`);
}

/** Deletes the oldest backup, and waits until its space is given back and `child` stands alone. */
async function dropOldest(scenario: Scenario, oldest: Backup, child: Backup): Promise<void> {
  await scenario.stack.api.delete(`/backups/${oldest.id}`);
  await waitUntil(`${oldest.name} is gone`, async () => (await show(scenario, oldest)).state === 'Expunged' || undefined, {
    timeoutMs: 300_000,
    intervalMs: 100,
  });
  const now = await show(scenario, child);
  assert.equal(now.type, 'FULL');
  assert.equal(now.parentId, undefined);
  assert.match(now.fullReason ?? '', /was deleted/);
  // Digests, whole images, and the content of every backup that is left.
  await scenario.demandInvariants();
}

export const compactionRows = rowGroup<Scenario>({
  async open(stack) {
    const scenario = await Scenario.open(stack, { name: 'compaction', chainSize: 0 });
    await stack.api.put(SETTING, { value: 'true' });
    return scenario;
  },
  async close(scenario) {
    await scenario.stack.api.put(SETTING, { value: null });
    await scenario.close();
  },
  rows: [
    {
      id: 'K1',
      title: 'the oldest backup deleted again and again: its space is given back, every other one holds what it held',
      async run(scenario) {
        await scenario.start();
        await scenario.write(1);
        const k1 = await scenario.backup({ name: 'k1' });
        await scenario.write(2);
        await scenario.write(2, 'vdb');
        const k2 = await scenario.backup({ name: 'k2' });
        await dropOldest(scenario, k1, k2);
        await scenario.write(3);
        const k3 = await scenario.backup({ name: 'k3' });
        assert.equal(k3.type, 'INCREMENTAL', 'the chain goes on');
        assert.equal(k3.parentId, k2.id);
        await dropOldest(scenario, k2, k3);
        await scenario.stop();
        await scenario.restore(k3);
        await scenario.demandDisksEqual(k3, diskEquals);
        await scenario.start();
        await scenario.demandFiles([1, 2, 3]);
        await scenario.demandFiles([2], 'vdb');
      },
    },
  ],
});
