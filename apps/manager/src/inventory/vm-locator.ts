/**
 * Finds a VM on another host than the one that was asked: after a migration each host tells its half of it in its own time.
 * Owns whom to ask; what an answer means is the recorder's.
 */
import { Injectable } from '@nestjs/common';
import { DataSource, Not } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { AgentsService } from '../agents/agents.service.js';
import { Logger } from '../events/logger.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { ObservationRecorder } from './observation-recorder.js';

@Injectable()
export class VmLocator {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly recorder: ObservationRecorder,
    private readonly logger: Logger,
  ) {}

  /** Asks every other Up host of the zone for these VMs and records what they have. One that does not answer has nothing to say. */
  async lookElsewhere(host: Pick<HostEntity, 'id' | 'zoneId'>, vmIds: readonly string[]): Promise<void> {
    if (vmIds.length === 0) return;
    const others = await this.dataSource.manager.findBy(HostEntity, { zoneId: host.zoneId, id: Not(host.id), state: 'Up' });
    await this.ask(others, vmIds);
  }

  /** As lookElsewhere, on every Up host of the zone. */
  async lookEverywhere(zoneId: string, vmIds: readonly string[]): Promise<void> {
    await this.ask(await this.dataSource.manager.findBy(HostEntity, { zoneId, state: 'Up' }), vmIds);
  }

  private async ask(hosts: readonly HostEntity[], vmIds: readonly string[]): Promise<void> {
    await Promise.all(
      hosts.map(async (other) => {
        try {
          for (const seen of await (await this.agents.of(other)).listDomains(vmIds)) await this.recorder.record(other, seen);
        } catch (thrown) {
          const { message } = HoldfastError.from(thrown);
          this.logger.warn('a host could not be asked for a VM', { hostId: other.id, host: other.name, reason: message });
        }
      }),
    );
  }
}
