/**
 * `make demo`: the main job on real things, as an operator would do it with the command line, and the proof that it worked.
 * Ends with `demo ok: …`; exit code 1 and the ends of the logs when something is wrong. KEEP=1 leaves everything running.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { Host, JoinToken, Vm } from '@holdfast/shared/api/inventory.js';
import { logTail } from '../system/log-file.js';
import { References } from '../system/references.js';
import { digestOf, knownBytes } from '../testbed/content.js';
import { guestImage } from '../testbed/guest-image.js';
import { imagesEqual } from '../testbed/images.js';
import type { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { drawPrimary, drawSecondary } from './drawing.js';
import { Reporter } from './reporter.js';
import { DemoWorld, hostName, vmName } from './world.js';

const keep = !['', '0'].includes(process.env['KEEP'] ?? '');
const reporter = new Reporter((text) => process.stdout.write(text));
const world = new DemoWorld();
const logFiles: string[] = [];

const wordsMiB = 8;
const fileOf = (n: number, target: string): string => `/mnt/${target}/document-${n}`;

/** Writes "document n" with known content to both disks of the running guest. */
async function write(vm: TestVm, n: number): Promise<void> {
  for (const target of ['vda', 'vdb']) await vm.fillRandom(fileOf(n, target), wordsMiB, `${target} document ${n}`);
  reporter.text(`in the guest: wrote ${fileOf(n, 'vda')} and ${fileOf(n, 'vdb')}, ${wordsMiB} MiB each`);
}

async function demandDocuments(vm: TestVm, present: readonly number[]): Promise<void> {
  for (const target of ['vda', 'vdb']) {
    const listed = (await vm.mustShell(`cd /mnt/${target} && ls | grep document || true`)).trim().split(/\s+/).sort();
    assert.deepEqual(
      listed,
      present.map((n) => `document-${n}`),
      `documents of ${target} in the guest`,
    );
    const digests = await vm.digests(...present.map((n) => fileOf(n, target)));
    for (const n of present) {
      const bytes = await knownBytes(`${target} document ${n}`, wordsMiB * 1024 * 1024);
      assert.equal(digests[fileOf(n, target)], digestOf(bytes), `content of ${fileOf(n, target)} in the guest`);
    }
    reporter.text(`in the guest: ${target} has ${listed.join(', ')}, each with the right SHA-256`);
  }
}

async function demo(): Promise<void> {
  await reporter.act('Make a guest image (kept for later runs)', async () => {
    const image = await guestImage();
    reporter.text(`${image.kernel}\n${image.initramfs}`);
  });

  const { host, vm, storage } = await reporter.act('Boot a KVM host of its own and define a VM with two disks', async () => {
    const made = await world.makeHostAndVm();
    reporter.command('virsh list --all');
    reporter.text(await made.host.virsh('list', '--all'));
    reporter.command(`virsh domblklist ${vmName}`);
    reporter.text(await made.host.virsh('domblklist', vmName));
    return made;
  });
  const references = new References(world.referenceDir);

  const { manager, cli } = await reporter.act('Start the manager with a private PostgreSQL', async () => {
    reporter.command('holdfast-manager');
    const started = await world.startManager();
    logFiles.push(started.manager.logFile);
    reporter.text(`answers at ${started.manager.url}`);
    return started;
  });
  /** Types a command line and shows its answer; the arguments are words without blanks. */
  const type = async (...args: string[]): Promise<void> => {
    reporter.command(`holdfast ${args.join(' ')}`);
    reporter.text(await cli.run(...args));
  };

  const agent = await reporter.act('Let the host join with a one-time token', async () => {
    await type('zone', 'create', 'berlin');
    const made = await world.makeAgent();
    logFiles.push(made.logFile);
    const { token } = await cli.json<JoinToken>('host', 'token', '--zone', 'berlin');
    reporter.command('holdfast host token --zone berlin');
    reporter.text(`${token.slice(0, 14)}…`);
    reporter.command(`holdfast-agent join --manager ${manager.url} --token ${token.slice(0, 14)}…`);
    reporter.text(await made.join(manager.url, token));
    reporter.command('holdfast-agent run');
    await made.start();
    await waitUntil(
      'the host is Up',
      async () => {
        const [found] = await cli.json<Host[]>('host', 'list');
        if (found?.state !== 'Up') throw new Error(`it is ${found?.state ?? 'unknown'}: ${found?.stateReason ?? ''}`);
        return true;
      },
      { intervalMs: 200 },
    );
    await type('host', 'list');
    return made;
  });

  await reporter.act('Find the VM; create storage and offering', async () => {
    await waitUntil(
      'the VM is found',
      async () => (await cli.json<Vm[]>('vm', 'list')).find(({ name }) => name === vmName) !== undefined,
      { intervalMs: 200 },
    );
    await type('vm', 'list');
    await type('storage', 'create', 'nas', '--source', storage.path);
    await type('offering', 'create', 'gold', '--chain-size', '3');
    await type('vm', 'assign', vmName, 'gold');
  });

  const names = new Map<string, string>();
  const backUp = async (name: string, ...options: string[]): Promise<Backup> => {
    await type('backup', 'create', vmName, '--name', name, ...options, '--wait');
    const backup = (await cli.json<Backup[]>('backup', 'list', '--vm', vmName)).find((one) => one.name === name);
    assert.ok(backup, `backup ${name} is listed`);
    names.set(backup.id, name);
    reporter.text((await drawPrimary(vm, names)).map((line) => `primary    ${line}`).join('\n'));
    reporter.text((await drawSecondary(storage.path, vm.uuid)).map((line) => `secondary  ${line}`).join('\n'));
    return backup;
  };

  await reporter.act('Full backup of the running VM', async () => {
    await write(vm, 1);
    const b1 = await backUp('b1');
    assert.equal(b1.type, 'FULL');
  });
  const { second, copies } = await reporter.act('Incremental backup', async () => {
    await write(vm, 2);
    const copied = await references.copy(vm);
    reporter.text('kept copies of both disks as they are now, to compare with later');
    const b2 = await backUp('b2');
    assert.equal(b2.type, 'INCREMENTAL');
    return { second: b2, copies: copied };
  });
  await reporter.act('Incremental backup, quiesced; it fills the chain', async () => {
    await write(vm, 3);
    const b3 = await backUp('b3', '--quiesce');
    assert.equal(b3.type, 'INCREMENTAL');
    assert.equal(b3.quiesced, true);
    assert.equal(b3.endOfChain, true);
  });
  await reporter.act('Isolated backup', async () => {
    await write(vm, 4);
    const isolated = await backUp('isolated', '--isolated');
    assert.equal(isolated.type, 'FULL');
    assert.equal(isolated.isolated, true);
  });

  await reporter.act('Destroy the content of both disks', async () => {
    for (const target of ['vda', 'vdb']) {
      await vm.mustShell(`umount /mnt/${target} && dd if=/dev/urandom of=/dev/${target} bs=1M count=24 conv=fsync 2>/dev/null`);
    }
    const mount = await vm.shell('mount -t ext4 /dev/vda /mnt/vda');
    assert.notEqual(mount.exitCode, 0, 'nothing can be mounted any more');
    reporter.text('in the guest: wrote random bytes over /dev/vda and /dev/vdb; nothing can be mounted any more');
    reporter.command(`virsh destroy ${vmName}`);
    await vm.destroy();
    await waitUntil(
      'the manager sees the VM stopped',
      async () => (await cli.json<Vm>('vm', 'show', vmName)).powerState === 'Stopped',
      { intervalMs: 200 },
    );
  });

  await reporter.act('Restore the second backup', () => type('backup', 'restore', second.id, '--wait'));

  await reporter.act('Compare the restored disks with the kept copies', async () => {
    for (const [target, copy] of copies) {
      const [top] = await vm.chain(target);
      assert.ok(top);
      reporter.command(`qemu-img compare ${top.filename} ${copy}`);
      assert.ok(
        await imagesEqual(top.filename, top.format === 'raw' ? 'raw' : 'qcow2', copy, 'raw'),
        `${target} equals the second backup`,
      );
      reporter.text('Images are identical.');
    }
  });

  await reporter.act('Start the VM and look at its files', async () => {
    reporter.command(`virsh start ${vmName}`);
    await vm.start();
    await demandDocuments(vm, [1, 2]);
  });

  await reporter.act('Look at the chains', async () => {
    await type('vm', 'show', vmName);
    await type('backup', 'list', '--vm', vmName);
  });

  if (keep) {
    const environment = join(manager.dir, 'environment.sh');
    await cli.writeEnvironment(environment);
    process.stdout.write(`\nEverything is left running. To look around:
  . ${environment}
  holdfast vm show ${vmName}
  virsh -c '${host.uri}' list --all
  find ${storage.path}
  logs: ${manager.logFile} ${agent.logFile}
To end it: make clean-testbed
`);
  }
}

async function main(): Promise<number> {
  try {
    await demo();
    reporter.timeTable();
    if (!keep) await world.destroy();
    console.log(`\ndemo ok: ${vmName} on ${hostName} has the content of its second backup again, in the guest and byte by byte`);
    return 0;
  } catch (error) {
    console.error(`\ndemo failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    for (const file of logFiles) console.error(`--- ${file}\n${await logTail(file)}`);
    if (!keep) await world.destroy();
    return 1;
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    console.error(`\n${signal}: cleaning up`);
    void world.destroy().finally(() => process.exit(130));
  });
}
process.exit(await main());
