/** The persistent definition: what it must not keep (finding G), and what happens when it names another file (drift). */
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import type { Finding } from './finding.js';
import { refusalOf, waitForNoProblems } from './probes.js';

export const noBackingStoreLeft: Finding = {
  name: 'finding G: no backingStore stays in the persistent definition',
  async play(bench) {
    for (let round = 1; round <= 3; round += 1) {
      await bench.stoppedWithNewContent();
      const operationId = await bench.backups.start({});
      const end = await bench.waitForRest(operationId);
      if (!end.succeeded) throw new Error(end.words);
      await bench.backups.conclude(operationId, true);
      const xml = await bench.vm.xml('inactive');
      if (/<backingStore[^>]*>\s*<(format|source)/.test(xml))
        throw new Error(`backup ${round} left a backingStore in the definition:\n${xml}`);
      await bench.checkInvariants();
    }
    return 'after each of three backups of the stopped VM';
  },
};

export const definitionDrift: Finding = {
  name: 'drift: the persistent definition names another file than the live one',
  async play(bench) {
    await bench.runningWithNewContent();
    const right = await bench.vm.xml('inactive');
    const file = join(bench.host.dir, 'drift.xml');
    const current = await bench.vm.currentFile('vdb');
    await writeFile(file, right.replace(current, `${current}.elsewhere`));
    await bench.host.virsh('define', file);
    const chain = await bench.vm.chain('vdb');
    const refused = await refusalOf(bench, () => bench.backups.start({}));
    if (refused.code !== 'DEFINITION_DRIFT') throw new Error(`refused with ${refused.code}: ${refused.message}`);
    if (!refused.message.includes('vdb')) throw new Error(`the refusal does not name the disk: ${refused.message}`);
    if ((await bench.vm.chain('vdb')).length !== chain.length) throw new Error('the chain was touched');
    await writeFile(file, right);
    await bench.host.virsh('define', file);
    await waitForNoProblems(bench);
    const operationId = await bench.backups.start({});
    const end = await bench.waitForRest(operationId);
    if (!end.succeeded) throw new Error(`after the repair: ${end.words}`);
    await bench.backups.conclude(operationId, true);
    await bench.checkInvariants();
    return 'refused by name, nothing touched, works after the repair';
  },
};
