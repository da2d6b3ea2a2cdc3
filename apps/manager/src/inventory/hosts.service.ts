/** Hosts as callers see them: list, rename, enable, disable, re-address, delete. Their state comes from the watcher. */
import { Injectable } from '@nestjs/common';
import { DataSource, In, MoreThan, type EntityManager } from 'typeorm';
import type { Page } from '@holdfast/shared/api/common.js';
import type { DeleteHost, Host, ListHosts, UpdateHost } from '@holdfast/shared/api/inventory.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { HostId, ZoneId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';
import { SupersededFileEntity, VmEntity } from '../persistence/entities/vm.entities.js';
import { cursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { requireHost } from './host-lookup.js';
import { checkAddress } from './join.service.js';

@Injectable()
export class HostsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly audit: AuditLog,
  ) {}

  async list(caller: Caller, query: ListHosts): Promise<Page<Host>> {
    requireAdmin(caller, 'list hosts');
    const after = cursorOf(query);
    const where = {
      ...(query.zoneId === undefined ? {} : { zoneId: query.zoneId }),
      ...(after === undefined ? {} : { name: MoreThan(after) }),
    };
    const rows = await this.dataSource.manager.find(HostEntity, { where, order: { name: 'ASC' }, take: query.limit + 1 });
    return pageOf(rows, query.limit, (row) => row.name, hostView);
  }

  async get(caller: Caller, hostId: string): Promise<Host> {
    requireAdmin(caller, 'read hosts');
    return hostView(await requireHost(this.dataSource.manager, hostId));
  }

  async update(caller: Caller, hostId: string, input: UpdateHost): Promise<Host> {
    requireAdmin(caller, 'change hosts');
    await requireHost(this.dataSource.manager, hostId);
    if (input.address !== undefined) checkAddress(input.address);
    const changes = {
      ...(input.name === undefined ? {} : { name: input.name }),
      ...(input.enabled === undefined ? {} : { enabled: input.enabled }),
      ...(input.address === undefined ? {} : { address: input.address }),
    };
    try {
      if (Object.keys(changes).length > 0) await this.dataSource.manager.update(HostEntity, { id: hostId }, changes);
    } catch (error) {
      const constraint = violatedUnique(error);
      if (constraint === undefined) throw error;
      const { name = '', address = '' } = input;
      throw constraint === 'host_name_key'
        ? new HoldfastError('NAME_TAKEN', `There already is a host named "${name}". Choose another name.`, { hostId, name })
        : new HoldfastError('NAME_TAKEN', `Another host has the address ${address} already.`, { hostId, address });
    }
    this.audit.changed(caller, 'host.update', { hostId, ...(input.name === undefined ? {} : { name: input.name }) });
    return this.get(caller, hostId);
  }

  /**
   * Refused with IN_USE while VMs were last seen on it, unless it is lost: then its VMs are gone, what was going on there has
   * failed, and all of them can be restored on another host. Refused with WRONG_STATE for a lost host that answers. Its
   * certificate is worth nothing afterwards: nobody calls it any more.
   */
  async delete(caller: Caller, hostId: string, { lost }: DeleteHost): Promise<void> {
    requireAdmin(caller, 'delete hosts');
    const host = await requireHost(this.dataSource.manager, hostId);
    if (lost && host.state === 'Up') {
      throw new HoldfastError(
        'WRONG_STATE',
        `The host "${host.name}" answers, so it is not lost. Switch the machine off for good first; what still ran there would run twice after a restore.`,
        { hostId, state: host.state },
      );
    }
    try {
      await this.dataSource.transaction(async (manager) => {
        if (lost) await giveUpHost(manager, hostId);
        await manager.delete(HostEntity, { id: hostId });
      });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError(
        'IN_USE',
        `VMs or files left behind by restores are still on the host "${host.name}". Move the VMs and release the files first, or disable the host. If the machine is lost for good, delete it as lost (holdfast host delete --lost).`,
        { hostId },
      );
    }
    this.audit.changed(caller, 'host.delete', { hostId, name: host.name, lost: String(lost) });
  }
}

/** Its VMs are nowhere any more, and the files that restores left behind there went with it. */
async function giveUpHost(manager: EntityManager, hostId: string): Promise<void> {
  const lock = { mode: 'pessimistic_write' as const };
  // In the order of ids, as everybody who locks more than one VM.
  const vms = await manager.find(VmEntity, { select: { id: true }, where: { hostId }, order: { id: 'ASC' }, lock });
  const ids = vms.map(({ id }) => id);
  await manager.delete(SupersededFileEntity, { hostId });
  await manager.update(VmEntity, { id: In(ids) }, { hostId: null, powerState: 'Gone', guestAgent: false, problems: [] });
}

function hostView(row: HostEntity): Host {
  return {
    id: row.id as HostId,
    zoneId: row.zoneId as ZoneId,
    name: row.name,
    address: row.address,
    ...(row.hostname === null ? {} : { hostname: row.hostname }),
    state: row.state,
    ...(row.stateReason === null ? {} : { stateReason: row.stateReason }),
    enabled: row.enabled,
    ...(row.agentVersion === null ? {} : { agentVersion: row.agentVersion }),
    ...(row.libvirtVersion === null ? {} : { libvirtVersion: row.libvirtVersion }),
    ...(row.qemuVersion === null ? {} : { qemuVersion: row.qemuVersion }),
    primaryPools: row.primaryPools,
    ...(row.lastSeenAt === null ? {} : { lastSeenAt: row.lastSeenAt.toISOString() }),
    createdAt: row.createdAt.toISOString(),
  };
}
