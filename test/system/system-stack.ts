/**
 * The whole product on this machine: a manager with its private PostgreSQL, test hosts with an agent in each, joined with
 * tokens, and a storage. Owns all of it and leaves nothing behind; pieces of an interrupted run of the same name go first.
 * It speaks to the product only as an operator can: REST, command line, the agent's join command.
 */
import { join } from 'node:path';
import type { Backup, CreateBackup, RestoreBackup } from '@holdfast/shared/api/backups.js';
import type { Host, JoinToken, Vm, Volume, Zone } from '@holdfast/shared/api/inventory.js';
import type { Offering } from '@holdfast/shared/api/offerings.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Storage } from '@holdfast/shared/api/storage.js';
import type { CreateVmSnapshot, VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import { TestHost } from '../testbed/test-host.js';
import { TestStorage, type StorageKind } from '../testbed/test-storage.js';
import { runPath } from '../testbed/work-dir.js';
import type { TestVm } from '../testbed/test-vm.js';
import { waitUntil } from '../testbed/wait-until.js';
import { AgentProcess } from './agent-process.js';
import { HoldfastCli } from './cli.js';
import { logTail } from './log-file.js';
import { ManagerProcess } from './manager-process.js';
import { waitForEnd, waitForSuccess } from './operations.js';
import type { RestClient } from './rest-client.js';

export interface StackOptions {
  /** Unique on this machine; at most 20 lower-case letters, digits and dashes. */
  readonly name: string;
  /** How many hosts; default 1. Of several, each may use the primary storage of every other: a VM can live on any of them. */
  readonly hosts?: number;
  readonly managerSettings?: Readonly<Record<string, unknown>>;
  readonly agentSettings?: Readonly<Record<string, unknown>>;
}

/** A host of the stack with its agent. `id` is the manager's. */
export interface StackHost {
  readonly host: TestHost;
  readonly agent: AgentProcess;
  readonly id: string;
}

/** A storage of the test bed and what the manager knows it as. */
export interface StackStorage {
  readonly media: TestStorage;
  readonly storage: Storage;
}

export class SystemStack {
  readonly hosts: StackHost[] = [];
  readonly storages: StackStorage[] = [];
  private zoneOrNone: Zone | undefined;
  private clientOrNone: RestClient | undefined;

  private constructor(
    readonly options: StackOptions,
    public manager: ManagerProcess,
  ) {}

  /** Starts manager and hosts, makes a zone and joins every host; returns when all are Up. */
  static async start(options: StackOptions): Promise<SystemStack> {
    const manager = await startManager(options);
    const stack = new SystemStack(options, manager);
    try {
      stack.clientOrNone = await manager.client();
      stack.zoneOrNone = await stack.api.post<Zone>('/zones', { name: 'zone-1' });
      for (let index = 0; index < (options.hosts ?? 1); index += 1) await stack.addHost();
      return stack;
    } catch (error) {
      const report = await stack.logs();
      await stack.destroy();
      throw new Error(`the system did not start: ${error instanceof Error ? error.message : String(error)}\n${report}`, {
        cause: error,
      });
    }
  }

  /** REST as the first administrator. */
  get api(): RestClient {
    if (this.clientOrNone === undefined) throw new Error('the manager has not answered yet');
    return this.clientOrNone;
  }

  get zone(): Zone {
    if (this.zoneOrNone === undefined) throw new Error('there is no zone yet');
    return this.zoneOrNone;
  }

  /** The first host, which most tests use. */
  get first(): StackHost {
    const [first] = this.hosts;
    if (first === undefined) throw new Error('the stack has no host');
    return first;
  }

  /** The command line as the first administrator. */
  get cli(): HoldfastCli {
    return new HoldfastCli({ url: this.manager.url, key: this.api.access.key, caFile: this.manager.caFile });
  }

  /** Boots one more host, joins it with a token and waits until it is Up. */
  async addHost(): Promise<StackHost> {
    const name = this.hostName(this.hosts.length);
    const host = await TestHost.create({ name });
    // Known from now on, so that a failure below cleans it up too.
    const agent = await AgentProcess.prepare(host, { settings: { ...this.sharedPools(), ...this.options.agentSettings } });
    const pending = { host, agent, id: '' };
    this.hosts.push(pending);
    const ready = { host, agent, id: await this.admit(agent, name) };
    this.hosts[this.hosts.indexOf(pending)] = ready;
    return ready;
  }

  /** Joins with a token and waits until the host is Up; returns the manager's id of it. */
  private async admit(agent: AgentProcess, name: string): Promise<string> {
    const { token } = await this.api.post<JoinToken>('/hosts/join-tokens', { zoneId: this.zone.id, validSeconds: 600 });
    await agent.join(this.manager.url, token);
    await agent.start();
    return (await this.waitForHost(name)).id;
  }

  /** Folders of VM disks at the same paths on all hosts, as a shared primary storage has them. */
  private sharedPools(): { primaryPools?: string[] } {
    const count = this.options.hosts ?? 1;
    if (count < 2) return {};
    return { primaryPools: Array.from({ length: count }, (_unused, index) => join(runPath(this.hostName(index)), 'images')) };
  }

  private hostName(index: number): string {
    return `${this.options.name}-${String.fromCharCode(97 + index)}`;
  }

  /**
   * Migrates a running VM live to another host, whose view of it is returned, and waits until the manager knows. The
   * definition stays on the first host unless `undefineSource`. `more`: further flags of virsh migrate.
   */
  async migrate(
    vm: TestVm,
    to: StackHost,
    options: { undefineSource?: boolean; more?: readonly string[] } = {},
  ): Promise<TestVm> {
    const flags = ['--live', '--persistent', '--unsafe', ...(options.undefineSource === true ? ['--undefinesource'] : [])];
    await vm.host.virsh('migrate', ...flags, ...(options.more ?? []), vm.uuid, to.host.uri, 'tcp://127.0.0.1');
    await waitUntil(`the manager sees ${vm.name} run on ${to.host.name}`, async () => {
      const seen = await this.vm(vm);
      return seen.hostId === to.id && seen.powerState === 'Running';
    });
    return vm.onHost(to.host);
  }

  /** Waits until the manager calls a host Up. */
  async waitForHost(name: string, state: Host['state'] = 'Up'): Promise<Host> {
    return waitUntil(
      `host ${name} is ${state}`,
      async () => {
        const found = (await this.api.list<Host>('/hosts')).find((one) => one.name === name);
        if (found === undefined) throw new Error('the manager does not know it');
        if (found.state !== state) throw new Error(`it is ${found.state}: ${found.stateReason ?? ''}`);
        return found;
      },
      { intervalMs: 100 },
    );
  }

  /**
   * Makes a storage of the test bed and registers it as type `dir`; `mounted`: its device as type `ext4`, which agents mount
   * themselves, and `media` shows what is on it all the time.
   */
  async createStorage(
    name: string,
    options: { kind?: StorageKind; sizeMiB?: number; mounted?: boolean } = {},
  ): Promise<StackStorage> {
    const { mounted = false } = options;
    const media = await TestStorage.create({
      name: `${this.options.name}-${name}`,
      kind: options.kind ?? (mounted ? 'filesystem' : 'directory'),
      ...(options.sizeMiB === undefined ? {} : { sizeMiB: options.sizeMiB }),
    });
    try {
      const storage = await this.api.post<Storage>('/secondary-storages', {
        zoneId: this.zone.id,
        name,
        type: mounted ? 'ext4' : 'dir',
        source: mounted ? media.blockDevice : media.path,
      });
      const made = { media, storage };
      this.storages.push(made);
      return made;
    } catch (error) {
      await media.destroy();
      throw error;
    }
  }

  /** Unregisters a storage that holds no backups any more, or just removes what it is made of. */
  async removeStorage(storage: StackStorage): Promise<void> {
    await storage.media.destroy();
    this.storages.splice(this.storages.indexOf(storage), 1);
  }

  async createOffering(name: string, chainSize?: number): Promise<Offering> {
    return this.api.post<Offering>('/backup-offerings', { name, ...(chainSize === undefined ? {} : { chainSize }) });
  }

  /** Waits until the manager has found the VM through its agent. */
  async waitForVm(vm: TestVm): Promise<Vm> {
    return waitUntil(
      `the manager has found VM ${vm.name}`,
      async () => {
        const volumes = await this.volumes(vm);
        return volumes.length > 0 ? this.vm(vm) : undefined;
      },
      { intervalMs: 100 },
    );
  }

  async vm(vm: TestVm): Promise<Vm> {
    return this.api.get<Vm>(`/vms/${vm.uuid}`);
  }

  async volumes(vm: TestVm): Promise<Volume[]> {
    return (await this.api.get<{ items: Volume[] }>(`/vms/${vm.uuid}/volumes`)).items;
  }

  /** The id, which is also the key of files in backups, of the volume at a target. */
  async volumeKey(vm: TestVm, target: string): Promise<string> {
    const found = (await this.volumes(vm)).find((volume) => volume.target === target && volume.attached);
    if (found === undefined) throw new Error(`the manager knows no volume ${target} of ${vm.name}`);
    return found.id;
  }

  async assign(vm: TestVm, offering: Offering): Promise<void> {
    await this.api.put<Vm>(`/vms/${vm.uuid}/backup-offering`, { offeringId: offering.id });
  }

  /** Starts a backup and returns its operation as the manager answered. */
  async startBackup(vm: TestVm, wish: Partial<CreateBackup> = {}): Promise<Operation> {
    return this.api.post<Operation>(`/vms/${vm.uuid}/backups`, wish);
  }

  /** Takes a backup and waits for its good end. */
  async backup(vm: TestVm, wish: Partial<CreateBackup> = {}): Promise<Backup> {
    const started = await this.startBackup(vm, wish);
    const ended = await waitForSuccess(this.api, started.id);
    return this.api.get<Backup>(`/backups/${ended.backupId}`);
  }

  async startRestore(backup: Pick<Backup, 'id'>, wish: Partial<RestoreBackup> = {}): Promise<Operation> {
    return this.api.post<Operation>(`/backups/${backup.id}/actions/restore`, wish);
  }

  /** Restores the stopped VM of a backup and waits for the good end. */
  async restore(backup: Pick<Backup, 'id'>, wish: Partial<RestoreBackup> = {}): Promise<Operation> {
    const started = await this.startRestore(backup, wish);
    return waitForSuccess(this.api, started.id);
  }

  /** Every snapshot of a VM that is listed: ours and those of virsh, without those that were removed. */
  async snapshots(vm: TestVm): Promise<VmSnapshot[]> {
    return this.api.list<VmSnapshot>(`/vms/${vm.uuid}/snapshots`);
  }

  /** Takes a VM snapshot and waits for its good end. */
  async snapshot(vm: TestVm, wish: Partial<CreateVmSnapshot> = {}): Promise<VmSnapshot> {
    const started = await this.api.post<Operation>(`/vms/${vm.uuid}/snapshots`, wish);
    const ended = await waitForSuccess(this.api, started.id);
    return this.api.get<VmSnapshot>(`/vm-snapshots/${ended.vmSnapshotId}`);
  }

  async startRevert({ id }: Pick<VmSnapshot, 'id'>): Promise<Operation> {
    return this.api.post<Operation>(`/vm-snapshots/${id}/actions/revert`);
  }

  /** Reverts the stopped VM to a snapshot and waits for the good end. */
  async revert(snapshot: Pick<VmSnapshot, 'id'>): Promise<Operation> {
    return waitForSuccess(this.api, (await this.startRevert(snapshot)).id);
  }

  async startSnapshotDeletion({ id }: Pick<VmSnapshot, 'id'>): Promise<Operation> {
    return this.api.delete<Operation>(`/vm-snapshots/${id}`);
  }

  /** Deletes a snapshot and waits for the good end. */
  async deleteSnapshot(snapshot: Pick<VmSnapshot, 'id'>): Promise<Operation> {
    return waitForSuccess(this.api, (await this.startSnapshotDeletion(snapshot)).id);
  }

  /** Waits for the end of an operation, whatever it is. */
  async end(operation: Pick<Operation, 'id'>): Promise<Operation> {
    return waitForEnd(this.api, operation.id);
  }

  /** Waits until the manager shows what libvirt shows: the power state of a VM. */
  async waitForPower(vm: TestVm, state: Vm['powerState']): Promise<void> {
    await waitUntil(`the manager sees ${vm.name} ${state}`, async () => (await this.vm(vm)).powerState === state, {
      intervalMs: 100,
    });
  }

  async killManager(): Promise<void> {
    await this.manager.kill();
  }

  async startManager(): Promise<void> {
    await this.manager.launch();
  }

  /**
   * The manager's machine is lost with its database and its CA. A new one has nothing: hosts join it, and each storage is taken
   * over with its identity, as an operator would do it.
   */
  async loseDatabase(): Promise<void> {
    for (const { agent } of this.hosts) await agent.kill('SIGTERM');
    await this.manager.destroy();
    this.manager = await startManager(this.options);
    this.clientOrNone = await this.manager.client();
    this.zoneOrNone = await this.api.post<Zone>('/zones', { name: 'zone-1' });
    for (const [index, { host, agent }] of this.hosts.entries()) {
      this.hosts[index] = { host, agent, id: await this.admit(agent, host.name) };
    }
    for (const [index, { media, storage }] of this.storages.entries()) {
      const wish = { zoneId: this.zone.id, name: storage.name, type: 'dir', source: media.path, adopt: true };
      this.storages[index] = { media, storage: await this.api.post<Storage>('/secondary-storages', wish) };
    }
  }

  async killAgent(at = this.first): Promise<void> {
    await at.agent.kill();
  }

  async startAgent(at = this.first): Promise<void> {
    await at.agent.start();
  }

  /** Everything on a host dies at once: agent, libvirtd, VMs, tools. */
  async powerLoss(at = this.first): Promise<void> {
    await at.host.powerLoss();
  }

  /** Boots a host after a power loss; its agent starts as its service would. */
  async bootHost(at = this.first): Promise<void> {
    await at.host.boot();
    await at.agent.start();
  }

  /** The ends of all logs, for a test that failed. */
  async logs(lines = 30): Promise<string> {
    const parts = [`--- manager (${this.manager.logFile})`, await logTail(this.manager.logFile, lines)];
    for (const { host, agent } of this.hosts) {
      parts.push(`--- agent of ${host.name} (${agent.logFile})`, await agent.logTail(lines));
    }
    return parts.join('\n');
  }

  /** Ends everything and removes it. Hanging storages are let go first, or nothing that hangs in them could die. */
  async destroy(): Promise<void> {
    for (const { media } of this.storages) await media.resume().catch(() => undefined);
    await this.manager.destroy();
    for (const { host } of this.hosts) await host.destroy();
    for (const { media } of this.storages) await media.destroy();
    this.storages.length = 0;
  }
}

function startManager({ name, managerSettings }: StackOptions): Promise<ManagerProcess> {
  return ManagerProcess.start({ name: `${name}-manager`, settings: managerSettings ?? {} });
}
