/**
 * What the demo runs on: a machine of its own with libvirt, a storage, a manager, an agent. Owns their names, so that a run
 * finds and removes what an interrupted one left, and their end.
 */
import { join } from 'node:path';
import { AgentProcess } from '../system/agent-process.js';
import { HoldfastCli } from '../system/cli.js';
import { ManagerProcess } from '../system/manager-process.js';
import { knownFiles } from '../testbed/content.js';
import { TestHost } from '../testbed/test-host.js';
import { TestStorage } from '../testbed/test-storage.js';
import { TestVm } from '../testbed/test-vm.js';

export const vmName = 'web-1';
export const hostName = 'demo-kvm1';

export class DemoWorld {
  private hostOrNone: TestHost | undefined;
  private storageOrNone: TestStorage | undefined;
  private managerOrNone: ManagerProcess | undefined;

  /** A small machine of its own with libvirt, and a VM with a qcow2 and a raw disk, running. */
  async makeHostAndVm(): Promise<{ host: TestHost; vm: TestVm; storage: TestStorage }> {
    const host = await TestHost.create({ name: hostName });
    this.hostOrNone = host;
    const storage = await TestStorage.create({ name: 'demo-nas', kind: 'directory' });
    this.storageOrNone = storage;
    const vm = await TestVm.define(host, {
      name: vmName,
      disks: [
        { target: 'vda', sizeMiB: 512, content: { label: 'root', files: await knownFiles(4, 1024 * 1024) } },
        { target: 'vdb', sizeMiB: 256, format: 'raw', content: { label: 'data', files: await knownFiles(2, 1024 * 1024) } },
      ],
    });
    await vm.start();
    return { host, vm, storage };
  }

  async startManager(): Promise<{ manager: ManagerProcess; cli: HoldfastCli }> {
    const manager = await ManagerProcess.start({ name: 'demo-manager' });
    this.managerOrNone = manager;
    const { access } = await manager.client();
    return { manager, cli: new HoldfastCli({ url: manager.url, key: access.key, caFile: manager.caFile }) };
  }

  async makeAgent(): Promise<AgentProcess> {
    if (this.hostOrNone === undefined) throw new Error('there is no host yet');
    return AgentProcess.prepare(this.hostOrNone);
  }

  /** Where reference copies are kept. */
  get referenceDir(): string {
    return join(this.hostOrNone?.dir ?? '/nonexistent', 'references');
  }

  /** Ends and removes everything. */
  async destroy(): Promise<void> {
    await this.managerOrNone?.destroy();
    await this.hostOrNone?.destroy();
    await this.storageOrNone?.destroy();
  }
}
