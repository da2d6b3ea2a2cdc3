/**
 * Tells the hosts that a VM is not on which layers it got, so that none of them starts it from below its newest data: a migration
 * leaves a definition behind. Owns who is told and when; what a start guard makes of it is the agent's. Nobody waits long for it and
 * nothing fails with it: a host that cannot be told is told when its VMs are listed again.
 */
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource, In, Not, type EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { VmElsewhere } from '../agents/agent-types.js';
import { AgentsService } from '../agents/agents.service.js';
import { Logger } from '../events/logger.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { VolumeOverlayEntity } from '../persistence/entities/vm-snapshot.entities.js';
import { VmEntity, VolumeDeltaEntity, VolumeEntity } from '../persistence/entities/vm.entities.js';
import { volumesElsewhere } from './elsewhere.js';

/** An operation waits for this. */
const PATIENCE_MS = 2000;
/** A host that came back is told of many VMs at once. */
const LONG_PATIENCE_MS = 60_000;
const VMS_AT_ONCE = 100;

type ToldHost = Pick<HostEntity, 'id' | 'name' | 'address' | 'zoneId'>;

@Injectable()
export class StartGuards implements OnApplicationShutdown {
  /** One telling after the other for each VM: an older one that arrives last would take a newer one back. */
  private readonly telling = new Map<string, Promise<void>>();

  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly logger: Logger,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.telling.values());
  }

  /** Before an operation is sent: the other hosts know the layers that it will put on before the first of them is there. */
  async tellPlanned(vmId: string): Promise<void> {
    await this.inTurn(vmId, ({ volumes }) => volumes.some(({ planned }) => planned.length > 0));
  }

  /** The VM was seen on other layers than before, or to run. Ends when the hosts have been told; nobody needs to wait for it. */
  async tellSeen(vmId: string): Promise<void> {
    await this.inTurn(vmId, () => true);
  }

  /** A host is there (again): it is told of the VMs of its zone that are on other hosts. */
  async tellHost(host: ToldHost): Promise<void> {
    await this.tolerantly(host, async () => {
      const ids = await this.layeredElsewhere(host);
      for (let at = 0; at < ids.length; at += VMS_AT_ONCE) {
        const vms = await this.read(ids.slice(at, at + VMS_AT_ONCE));
        await (await this.agents.of(host)).guardStarts(vms, LONG_PATIENCE_MS);
      }
    });
  }

  private inTurn(vmId: string, wanted: (vm: VmElsewhere) => boolean): Promise<void> {
    const done = (this.telling.get(vmId) ?? Promise.resolve()).then(() => this.tellOthers(vmId, wanted));
    this.telling.set(vmId, done);
    return done.finally(() => {
      if (this.telling.get(vmId) === done) this.telling.delete(vmId);
    });
  }

  private async tellOthers(vmId: string, wanted: (vm: VmElsewhere) => boolean): Promise<void> {
    try {
      const [told] = await this.read([vmId]);
      if (told === undefined || !wanted(told)) return;
      const { hostId, zoneId } = await this.dataSource.manager.findOneByOrFail(VmEntity, { id: vmId });
      const others = await this.dataSource.manager.findBy(HostEntity, { zoneId, state: 'Up', ...notOn(hostId) });
      await Promise.all(
        others.map((host) => this.tolerantly(host, async () => (await this.agents.of(host)).guardStarts([told], PATIENCE_MS))),
      );
    } catch (thrown) {
      this.logger.warn('other hosts could not be told of a VM', { vmId, reason: HoldfastError.from(thrown).message });
    }
  }

  /** The VMs that are on other hosts of the zone, or were when these were seen last, and have layers of ours. */
  private async layeredElsewhere({ id, zoneId }: ToldHost): Promise<string[]> {
    const rows = await this.dataSource.query<{ id: string }[]>(
      `SELECT id FROM vm WHERE zone_id = $1 AND host_id <> $2 AND power_state <> 'Gone' AND (
         EXISTS (SELECT 1 FROM volume_delta WHERE vm_id = vm.id) OR EXISTS (SELECT 1 FROM volume_overlay WHERE vm_id = vm.id))
       ORDER BY id`,
      [zoneId, id],
    );
    return rows.map((row) => row.id);
  }

  /** All of one moment: a token that is newer than the layers would make them count for more than they are. */
  private read(vmIds: readonly string[]): Promise<VmElsewhere[]> {
    return this.dataSource.transaction('REPEATABLE READ', async (manager) => {
      const vms = await manager.findBy(VmEntity, { id: In([...vmIds]) });
      const [volumes, ours] = [await this.volumesOf(manager, vmIds), await this.layersOf(manager, vmIds)];
      return vms.map(({ id, fencingToken, powerState }) => ({
        vmUuid: id,
        fencingToken,
        volumes: volumesElsewhere(
          powerState,
          volumes.filter(({ vmId }) => vmId === id),
          ours,
        ),
      }));
    });
  }

  private volumesOf(manager: EntityManager, vmIds: readonly string[]): Promise<VolumeEntity[]> {
    return manager.find(VolumeEntity, { where: { vmId: In([...vmIds]), attached: true }, order: { target: 'ASC' } });
  }

  private async layersOf(manager: EntityManager, vmIds: readonly string[]): Promise<(VolumeDeltaEntity | VolumeOverlayEntity)[]> {
    const vmId = In([...vmIds]);
    return [...(await manager.findBy(VolumeDeltaEntity, { vmId })), ...(await manager.findBy(VolumeOverlayEntity, { vmId }))];
  }

  private async tolerantly(host: ToldHost, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      const { message } = HoldfastError.from(thrown);
      this.logger.warn('a host was not told of VMs on other hosts', { hostId: host.id, host: host.name, reason: message });
    }
  }
}

function notOn(hostId: string | null): { id?: ReturnType<typeof Not<string>> } {
  return hostId === null ? {} : { id: Not(hostId) };
}
