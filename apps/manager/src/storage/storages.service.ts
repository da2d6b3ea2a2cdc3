/** Secondary storages: registered through a host that can reach them, refreshed now and then. */
import { posix } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DataSource, In, MoreThan } from 'typeorm';
import type { Page } from '@holdfast/shared/api/common.js';
import type { CreateStorage, ListStorages, Storage, UpdateStorage } from '@holdfast/shared/api/storage.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { requireAdmin, type Caller } from '../access/caller.js';
import type { StorageFacts } from '../agents/agent-types.js';
import type { AgentClient } from '../agents/agent-client.js';
import { AgentsService } from '../agents/agents.service.js';
import { AuditLog } from '../events/audit-log.js';
import { findUpHost } from '../inventory/host-lookup.js';
import { BackupEntity, BackupVolumeEntity } from '../persistence/entities/backup.entities.js';
import { ZoneEntity } from '../persistence/entities/inventory.entities.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { idCursorOf, pageOf } from '../persistence/paging.js';
import { isForeignKeyViolation, violatedUnique } from '../persistence/violations.js';
import { Clock } from '../platform/clock.js';
import { storageAccess, storageView } from './storage-view.js';

@Injectable()
export class StoragesService {
  constructor(
    private readonly dataSource: DataSource,
    private readonly agents: AgentsService,
    private readonly clock: Clock,
    private readonly audit: AuditLog,
  ) {}

  /**
   * Registers a place as a storage. An empty one gets its identity; one that already is a Holdfast storage only with
   * `adopt`. HOST_UNAVAILABLE when no host of the zone is up to look at it.
   */
  async create(caller: Caller, input: CreateStorage): Promise<Storage> {
    requireAdmin(caller, 'create storages');
    const source = cleanSource(input);
    const zone = await this.dataSource.manager.findOneBy(ZoneEntity, { id: input.zoneId });
    if (zone === null)
      throw new HoldfastError('NOT_FOUND', `There is no zone ${input.zoneId}. List the zones to see their ids.`, {
        zoneId: input.zoneId,
      });
    await this.refuseDuplicate(input, source, zone.name);

    const host = await findUpHost(this.dataSource.manager, zone.id);
    if (host === null) {
      throw new HoldfastError(
        'HOST_UNAVAILABLE',
        `No host of the zone "${zone.name}" is up, and a storage is looked at by one. Let a host join, or start its agent.`,
        { zoneId: zone.id },
      );
    }
    const facts = await this.look(await this.agents.of(host), input, source);
    const row: StorageEntity = {
      id: facts.storageId,
      zoneId: zone.id,
      name: input.name,
      type: input.type,
      source,
      options: input.options,
      readOnly: false,
      ...capacity(facts, input.name),
      checkedAt: this.clock.now(),
      createdAt: this.clock.now(),
    };
    try {
      await this.dataSource.manager.insert(StorageEntity, row);
    } catch (error) {
      const constraint = violatedUnique(error);
      if (constraint === undefined) throw error;
      await this.refuseDuplicate(input, source, zone.name);
      throw new HoldfastError(
        'NAME_TAKEN',
        `The storage ${facts.storageId} at ${source} is registered already, by another source or in another zone.`,
        { storageId: facts.storageId },
      );
    }
    this.audit.changed(caller, 'storage.create', { storageId: row.id, name: row.name, zoneId: zone.id });
    return storageView(row);
  }

  async list(caller: Caller, query: ListStorages): Promise<Page<Storage>> {
    requireAdmin(caller, 'list storages');
    const after = idCursorOf(query);
    const where = {
      ...(query.zoneId === undefined ? {} : { zoneId: query.zoneId }),
      ...(after === undefined ? {} : { id: MoreThan(after) }),
    };
    const rows = await this.dataSource.manager.find(StorageEntity, { where, order: { id: 'ASC' }, take: query.limit + 1 });
    return pageOf(rows, query.limit, (row) => row.id, storageView);
  }

  async get(caller: Caller, storageId: string): Promise<Storage> {
    requireAdmin(caller, 'read storages');
    return storageView(await this.require(storageId));
  }

  async update(caller: Caller, storageId: string, input: UpdateStorage): Promise<Storage> {
    requireAdmin(caller, 'change storages');
    await this.require(storageId);
    const changes = {
      ...(input.name === undefined ? {} : { name: input.name }),
      ...(input.readOnly === undefined ? {} : { readOnly: input.readOnly }),
    };
    try {
      if (Object.keys(changes).length > 0) await this.dataSource.manager.update(StorageEntity, { id: storageId }, changes);
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      throw new HoldfastError(
        'NAME_TAKEN',
        `There already is a storage named "${input.name ?? ''}" in this zone. Choose another name.`,
        { name: input.name ?? '' },
      );
    }
    this.audit.changed(caller, 'storage.update', { storageId });
    return this.get(caller, storageId);
  }

  /** Forgets a storage; nothing on it is touched. Refused with IN_USE while backups are on it. */
  async delete(caller: Caller, storageId: string): Promise<void> {
    requireAdmin(caller, 'delete storages');
    const row = await this.require(storageId);
    try {
      await this.dataSource.transaction(async (manager) => {
        // What is gone from the storage is only history, and goes with it.
        const gone = await manager.find(BackupEntity, { select: { id: true }, where: { storageId, state: 'Expunged' } });
        const ids = gone.map(({ id }) => id);
        await manager.delete(BackupVolumeEntity, { backupId: In(ids) });
        await manager.delete(BackupEntity, { id: In(ids) });
        await manager.delete(StorageEntity, { id: storageId });
      });
    } catch (error) {
      if (!isForeignKeyViolation(error)) throw error;
      throw new HoldfastError(
        'IN_USE',
        `The storage "${row.name}" holds backups. Delete those first, or make the storage read-only.`,
        { storageId },
      );
    }
    this.audit.changed(caller, 'storage.delete', { storageId, name: row.name });
  }

  /** Looks at a storage again and records capacity or what is wrong with it. Nothing is concluded while no host is up. */
  async refresh(row: StorageEntity): Promise<void> {
    const host = await findUpHost(this.dataSource.manager, row.zoneId);
    if (host === null) return;
    const now = this.clock.now();
    try {
      const facts = await (await this.agents.of(host)).inspectStorage(storageAccess(row), false);
      await this.dataSource.manager.update(StorageEntity, { id: row.id }, { ...capacity(facts, row.name), checkedAt: now });
    } catch (error) {
      const problem = HoldfastError.from(error);
      // A host that went away in between says nothing about the storage.
      if (problem.code !== 'HOST_UNAVAILABLE')
        await this.dataSource.manager.update(StorageEntity, { id: row.id }, { problem: problem.toData(), checkedAt: now });
    }
  }

  /** Looks at all storages of a zone at once: before a refusal that may rest on what was true a minute ago. */
  async refreshZone(zoneId: string): Promise<void> {
    const rows = await this.dataSource.manager.findBy(StorageEntity, { zoneId });
    await Promise.all(rows.map((row) => this.refresh(row)));
  }

  /** Gives an empty place its identity, or finds the one that is there: an agent says it when it is asked for another. */
  private async look(agent: AgentClient, input: CreateStorage, source: string): Promise<StorageFacts> {
    const access = { id: this.clock.newId(), name: input.name, type: input.type, source, options: input.options };
    try {
      return await agent.inspectStorage(access, !input.adopt);
    } catch (error) {
      const found = error instanceof HoldfastError && error.code === 'STORAGE_NOT_OURS' ? (error.fields['found'] ?? '') : '';
      if (found === '') throw error;
      if (input.adopt) return agent.inspectStorage({ ...access, id: found }, false);
      throw new HoldfastError(
        'STORAGE_NOT_OURS',
        `${source} already is a Holdfast storage (${found}). Take it over with "adopt" when it is yours, or give an empty place.`,
        { storageId: found, source },
      );
    }
  }

  private async refuseDuplicate(input: CreateStorage, source: string, zoneName: string): Promise<void> {
    const manager = this.dataSource.manager;
    if (await manager.existsBy(StorageEntity, { zoneId: input.zoneId, name: input.name })) {
      throw new HoldfastError(
        'NAME_TAKEN',
        `There already is a storage named "${input.name}" in the zone "${zoneName}". Choose another name.`,
        { name: input.name },
      );
    }
    const same = await manager.findOneBy(StorageEntity, { zoneId: input.zoneId, type: input.type, source });
    if (same !== null) {
      throw new HoldfastError('NAME_TAKEN', `${source} is registered already, as the storage "${same.name}". Use that one.`, {
        storageId: same.id,
        source,
      });
    }
  }

  private async require(storageId: string): Promise<StorageEntity> {
    const row = await this.dataSource.manager.findOneBy(StorageEntity, { id: storageId });
    if (row === null)
      throw new HoldfastError('NOT_FOUND', `There is no storage ${storageId}. List the storages to see their ids.`, {
        storageId,
      });
    return row;
  }
}

function cleanSource(input: CreateStorage): string {
  if (input.type !== 'dir') return input.source;
  if (!posix.isAbsolute(input.source)) {
    throw new HoldfastError('INVALID_INPUT', `A storage of type "dir" needs an absolute directory; "${input.source}" is not.`, {
      source: input.source,
    });
  }
  return posix.normalize(input.source).replace(/(.)\/+$/, '$1');
}

function capacity(facts: StorageFacts, name: string): Pick<StorageEntity, 'totalBytes' | 'freeBytes' | 'problem'> {
  const problem = facts.writable
    ? null
    : new HoldfastError('STORAGE_READ_ONLY', `The storage "${name}" cannot be written to. Remount it read-write.`, {
        storageId: facts.storageId,
      }).toData();
  return { totalBytes: facts.totalBytes, freeBytes: facts.freeBytes, problem };
}
