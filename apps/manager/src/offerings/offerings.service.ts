/** Backup offerings: what a VM is entitled to. */
import { Injectable } from '@nestjs/common';
import { DataSource, MoreThan, type EntityManager } from 'typeorm';
import type { Page, PageQuery } from '@holdfast/shared/api/common.js';
import type { CreateOffering, Offering } from '@holdfast/shared/api/offerings.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { OfferingId } from '@holdfast/shared/ids/ids.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import { AuditLog } from '../events/audit-log.js';
import { OfferingEntity } from '../persistence/entities/offering.entity.js';
import { cursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';

@Injectable()
export class OfferingsService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  async create(caller: Caller, input: CreateOffering): Promise<Offering> {
    requireAdmin(caller, 'create offerings');
    const row = {
      id: this.clock.newId(),
      name: input.name,
      description: input.description,
      chainSize: input.chainSize ?? null,
      createdAt: this.clock.now(),
    };
    try {
      await this.dataSource.manager.insert(OfferingEntity, row);
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      throw new HoldfastError('NAME_TAKEN', `There already is an offering named "${input.name}". Choose another name.`, {
        name: input.name,
      });
    }
    this.audit.changed(caller, 'offering.create', { offeringId: row.id, name: row.name });
    return view(row);
  }

  /** Every caller may see what there is to be had. */
  async list(_caller: Caller, query: PageQuery): Promise<Page<Offering>> {
    const after = cursorOf(query);
    const rows = await this.dataSource.manager.find(OfferingEntity, {
      where: after === undefined ? {} : { name: MoreThan(after) },
      order: { name: 'ASC' },
      take: query.limit + 1,
    });
    return pageOf(rows, query.limit, (row) => row.name, view);
  }

  async get(_caller: Caller, offeringId: string): Promise<Offering> {
    return view(await requireOffering(this.dataSource.manager, offeringId));
  }

  /** Refused with IN_USE while a VM has it. */
  async delete(caller: Caller, offeringId: string): Promise<void> {
    requireAdmin(caller, 'delete offerings');
    const row = await requireOffering(this.dataSource.manager, offeringId);
    try {
      await this.dataSource.manager.delete(OfferingEntity, { id: offeringId });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError('IN_USE', `The offering "${row.name}" is assigned to VMs. Remove those VMs from it first.`, {
        offeringId,
      });
    }
    this.audit.changed(caller, 'offering.delete', { offeringId, name: row.name });
  }
}

/** NOT_FOUND for an id that is none. */
export async function requireOffering(manager: EntityManager, offeringId: string): Promise<OfferingEntity> {
  const row = await manager.findOneBy(OfferingEntity, { id: offeringId });
  if (row === null)
    throw new HoldfastError('NOT_FOUND', `There is no offering ${offeringId}. List the offerings to see their ids.`, {
      offeringId,
    });
  return row;
}

function view(row: OfferingEntity): Offering {
  return {
    id: row.id as OfferingId,
    name: row.name,
    description: row.description,
    ...(row.chainSize === null ? {} : { chainSize: row.chainSize }),
    createdAt: row.createdAt.toISOString(),
  };
}
