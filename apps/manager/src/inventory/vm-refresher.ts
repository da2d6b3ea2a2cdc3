/** Looks at one VM now, instead of trusting what was seen last. */
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { AgentsService } from '../agents/agents.service.js';
import { VmEntity } from '../persistence/entities/vm.entities.js';
import { requireHost } from './host-lookup.js';
import { ObservationRecorder } from './observation-recorder.js';
import { VmLocator } from './vm-locator.js';

@Injectable()
export class VmRefresher {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly recorder: ObservationRecorder,
    private readonly locator: VmLocator,
  ) {}

  /**
   * Asks the VM's host and records the answer; where it does not run the VM, the other hosts are asked as well, so that a
   * definition that a migration left behind is not taken for the VM. The row's `hostId` says where the VM is now.
   * HOST_UNAVAILABLE when its host cannot be asked.
   */
  async refresh(vm: Pick<VmEntity, 'id' | 'name' | 'hostId'>): Promise<VmEntity> {
    if (vm.hostId === null)
      throw new HoldfastError('HOST_UNAVAILABLE', `It is not known on which host the VM "${vm.name}" is.`, { vmId: vm.id });
    const host = await requireHost(this.dataSource.manager, vm.hostId);
    const [seen] = await (await this.agents.of(host)).listDomains([vm.id]);
    if (seen === undefined) await this.recorder.recordGone(host, [vm.id]);
    else await this.recorder.record(host, seen);
    if (seen === undefined || seen.state === 'Stopped') await this.locator.lookElsewhere(host, [vm.id]);
    return this.dataSource.manager.findOneByOrFail(VmEntity, { id: vm.id });
  }

  /**
   * A VM that counts as gone is looked for on every host before that is acted upon: while it moves, there is a moment in
   * which one host has told that it left and the other not yet that it came. Any other VM is answered as it is.
   */
  async seek(vm: VmEntity): Promise<VmEntity> {
    if (vm.powerState !== 'Gone') return vm;
    await this.locator.lookEverywhere(vm.zoneId, [vm.id]);
    return this.dataSource.manager.findOneByOrFail(VmEntity, { id: vm.id });
  }
}
