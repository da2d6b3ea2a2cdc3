/** Zones: sets of hosts that share primary storage, secondary storages and limits. */
import { Injectable } from '@nestjs/common';
import { DataSource, MoreThan } from 'typeorm';
import type { Page, PageQuery } from '@holdfast/shared/api/common.js';
import type { CreateZone, Zone } from '@holdfast/shared/api/inventory.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ZoneId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { ZoneEntity } from '../persistence/entities/inventory.entities.js';
import { cursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';

@Injectable()
export class ZonesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  async create(caller: Caller, input: CreateZone): Promise<Zone> {
    requireAdmin(caller, 'create zones');
    const row = { id: this.clock.newId(), name: input.name, createdAt: this.clock.now() };
    try {
      await this.dataSource.manager.insert(ZoneEntity, row);
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      throw new HoldfastError('NAME_TAKEN', `There already is a zone named "${input.name}". Choose another name.`, {
        name: input.name,
      });
    }
    this.audit.changed(caller, 'zone.create', { zoneId: row.id, name: row.name });
    return view(row);
  }

  async list(caller: Caller, query: PageQuery): Promise<Page<Zone>> {
    requireAdmin(caller, 'list zones');
    const after = cursorOf(query);
    const rows = await this.dataSource.manager.find(ZoneEntity, {
      where: after === undefined ? {} : { name: MoreThan(after) },
      order: { name: 'ASC' },
      take: query.limit + 1,
    });
    return pageOf(rows, query.limit, (row) => row.name, view);
  }

  async get(caller: Caller, zoneId: string): Promise<Zone> {
    requireAdmin(caller, 'read zones');
    return view(await this.require(zoneId));
  }

  /** Refused with IN_USE while hosts, storages or VMs belong to it. */
  async delete(caller: Caller, zoneId: string): Promise<void> {
    requireAdmin(caller, 'delete zones');
    const zone = await this.require(zoneId);
    try {
      await this.dataSource.manager.delete(ZoneEntity, { id: zoneId });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError('IN_USE', `The zone "${zone.name}" still has hosts, VMs or storages. Remove those first.`, {
        zoneId,
      });
    }
    this.audit.changed(caller, 'zone.delete', { zoneId, name: zone.name });
  }

  private async require(zoneId: string): Promise<ZoneEntity> {
    const row = await this.dataSource.manager.findOneBy(ZoneEntity, { id: zoneId });
    if (row === null)
      throw new HoldfastError('NOT_FOUND', `There is no zone ${zoneId}. List the zones to see their ids.`, { zoneId });
    return row;
  }
}

function view(row: Pick<ZoneEntity, 'id' | 'name' | 'createdAt'>): Zone {
  return { id: row.id as ZoneId, name: row.name, createdAt: row.createdAt.toISOString() };
}
