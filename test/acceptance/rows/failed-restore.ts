/** Table X, row 6: a restore that fails half way leaves the VM as it was. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';
import { diskEquals } from './chain.js';

export const failedRestoreRows = rowGroup<Scenario>({
  open: (stack) => Scenario.open(stack, { name: 'half', chainSize: 8, storage: { kind: 'filesystem', sizeMiB: 512 } }),
  close: (scenario) => scenario.close(),
  rows: [
    {
      id: 'X6',
      title: 'restore that fails half way: VM unchanged and startable',
      async run(scenario) {
        const { stack, vm, storage } = scenario;
        const { breakpoints } = stack.first.agent;
        await scenario.start();
        await scenario.write(1);
        await scenario.write(1, 'vdb');
        await scenario.backup({ name: 'h1' });
        await scenario.write(2);
        await scenario.write(2, 'vdb');
        const backup = await scenario.backup({ name: 'h2' });
        await scenario.write(3);
        await scenario.stop();
        const untouched = await scenario.references.copy(vm);
        const definition = await vm.xml('inactive');
        const demandUnchanged = async (): Promise<void> => {
          assert.equal(await vm.xml('inactive'), definition, 'the definition is as before');
          for (const [target, copy] of untouched) assert.ok(await diskEquals(vm, target, copy), `${target} is as before`);
          await scenario.demandInvariants();
        };

        // The storage goes away while the second volume is still to be copied.
        const second = { step: 'restore', subject: await stack.volumeKey(vm, 'vdb'), phase: 'before' } as const;
        await breakpoints.set(second);
        const started = await stack.startRestore(backup);
        await breakpoints.reached(second);
        await storage.media.vanish();
        await breakpoints.release(second);
        const gone = await stack.end(started);
        assert.equal(gone.state, 'Failed');
        assert.equal(gone.error?.code, 'STORAGE_MISSING', gone.error?.message);
        await storage.media.reappear();
        await demandUnchanged();

        // A file of the parent is damaged: found by its digest before anything is replaced.
        const damaged = fileOf(storage.media.path, await parentOf(scenario, backup), 'vdb');
        await flipByte(damaged);
        const refused = await stack.end(await stack.startRestore(backup));
        assert.equal(refused.state, 'Failed');
        assert.equal(refused.error?.code, 'BACKUP_DAMAGED');
        assert.ok(refused.error?.message.includes(basename(damaged)), 'the file is named');
        await flipByte(damaged);
        await demandUnchanged();

        await scenario.start();
        await scenario.demandFiles([1, 2, 3]);
        await scenario.demandFiles([1, 2], 'vdb');
        await scenario.stop();
        await scenario.restore(backup);
        await scenario.start();
        await scenario.demandFiles([1, 2]);
      },
    },
  ],
});

async function parentOf({ stack }: Scenario, backup: Backup): Promise<Backup> {
  return stack.api.get<Backup>(`/backups/${backup.parentId}`);
}

function fileOf(root: string, backup: Backup, target: string): string {
  const volume = backup.volumes.find((one) => one.target === target);
  assert.ok(volume, `${backup.name} holds ${target}`);
  return join(root, volume.file);
}

/** Turns one byte in the middle of a file round; twice is as before. */
async function flipByte(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const at = Math.floor((await handle.stat()).size / 2);
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ 0xff;
    await handle.write(byte, 0, 1, at);
  } finally {
    await handle.close();
  }
}
