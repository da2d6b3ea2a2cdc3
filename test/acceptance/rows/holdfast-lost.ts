/** Table X, row 8: everything of Holdfast is gone but the files on secondary storage. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imagesEqual } from '../../testbed/images.js';
import { TestHost } from '../../testbed/test-host.js';
import { programs } from '../../system/repository.js';
import { rowGroup } from '../row-group.js';
import { Scenario } from '../scenario.js';

interface LostStage {
  readonly scenario: Scenario;
  readonly other: TestHost;
}

export const holdfastLostRows = rowGroup<LostStage>({
  open: async (stack) => ({
    scenario: await Scenario.open(stack, { name: 'lost', chainSize: 8 }),
    other: await TestHost.create({ name: `${stack.options.name}-bare` }),
  }),
  async close({ scenario, other }) {
    await other.destroy();
    await scenario.close();
  },
  rows: [
    {
      id: 'X8',
      title: 'Holdfast lost: the shell script and qemu-img restore the VM',
      async run({ scenario, other }) {
        const { vm, storage } = scenario;
        await scenario.start();
        await scenario.write(1);
        await scenario.backup({ name: 'l1' });
        await scenario.write(2);
        await scenario.write(2, 'vdb');
        const backup = await scenario.backup({ name: 'l2' });
        await scenario.stop();

        // A host that never had an agent, with nothing but libvirt, QEMU's tools and the script.
        const destination = join(other.dir, 'restored');
        const script = ['sh', programs.restoreScript, storage.media.path];
        const result = await other.run([...script, vm.uuid, backup.id, destination], { timeoutMs: 600_000 });
        assert.equal(result.exitCode, 0, result.stderr);
        for (const [target, copy] of scenario.references.of(backup.id) ?? []) {
          assert.ok(await imagesEqual(join(destination, `${target}.qcow2`), 'qcow2', copy, 'raw'), `${target} equals the backup`);
        }
        await other.virsh('define', join(destination, 'domain.xml'));
        const revived = vm.onHost(other);
        await revived.start();
        await scenario.demandFiles([1, 2], 'vda', revived);
        await scenario.demandFiles([2], 'vdb', revived);
        await revived.destroy();

        const again = await other.run([...script, `backups/${vm.uuid}/${backup.id}`, destination]);
        assert.notEqual(again.exitCode, 0, 'nothing is overwritten');
        assert.match(again.stderr, /exists already/);

        const file = join(storage.media.path, backup.volumes[0]?.file ?? '');
        const whole = await readFile(file);
        const damaged = Buffer.from(whole);
        damaged[damaged.length - 1] = (damaged[damaged.length - 1] ?? 0) ^ 0xff;
        await writeFile(file, damaged);
        const refused = await other.run([...script, vm.uuid, backup.id, join(other.dir, 'refused')]);
        await writeFile(file, whole);
        assert.notEqual(refused.exitCode, 0, 'a damaged file is refused');
        assert.match(refused.stderr, /is damaged/);
      },
    },
  ],
});
