/** Reads from the database what planning a backup needs. Must not decide. */
import type { EntityManager } from 'typeorm';
import { BackupEntity } from '../persistence/entities/backup.entities.js';
import { ZoneEntity } from '../persistence/entities/inventory.entities.js';
import { OfferingEntity } from '../persistence/entities/offering.entity.js';
import { StorageEntity } from '../persistence/entities/storage.entity.js';
import { VolumeDeltaEntity, VolumeEntity, type VmEntity } from '../persistence/entities/vm.entities.js';
import { readPins } from '../primary/pins.js';
import type { SettingsService } from '../settings/settings.service.js';
import type { PlanFacts } from './plan-backup.js';

type Head = NonNullable<PlanFacts['head']>;

export async function readPlanFacts(
  manager: EntityManager,
  settings: SettingsService,
  vm: VmEntity,
  backup: { id: string; isolated: boolean },
): Promise<PlanFacts> {
  const zone = await manager.findOneByOrFail(ZoneEntity, { id: vm.zoneId });
  const offering = vm.offeringId === null ? null : await manager.findOneBy(OfferingEntity, { id: vm.offeringId });
  return {
    vmId: vm.id,
    zoneName: zone.name,
    backupId: backup.id,
    isolated: backup.isolated,
    chainSize: offering?.chainSize ?? (await settings.resolve('backup.chain.size', vm.zoneId, manager)),
    head: await readHead(manager, vm.headBackupId),
    chainEndedReason: vm.chainEndedReason,
    volumes: await manager.find(VolumeEntity, { where: { vmId: vm.id, attached: true }, order: { target: 'ASC' } }),
    deltas: await manager.findBy(VolumeDeltaEntity, { vmId: vm.id }),
    pins: await readPins(manager, vm.id),
    storages: await manager.findBy(StorageEntity, { zoneId: vm.zoneId }),
  };
}

async function readHead(manager: EntityManager, headBackupId: string | null): Promise<Head | undefined> {
  if (headBackupId === null) return undefined;
  const head = await manager.findOneBy(BackupEntity, { id: headBackupId });
  if (head === null) return undefined;
  const [row] = await manager.query<{ length: number; broken: number }[]>(
    `WITH RECURSIVE chain AS (
       SELECT id, parent_id, state FROM backup WHERE id = $1
       UNION ALL SELECT b.id, b.parent_id, b.state FROM backup b JOIN chain c ON b.id = c.parent_id
     ) SELECT count(*)::int AS length, count(*) FILTER (WHERE state NOT IN ('BackedUp', 'Removed'))::int AS broken FROM chain`,
    [headBackupId],
  );
  return {
    id: head.id,
    storageId: head.storageId,
    chainLength: row?.length ?? 1,
    continuable: continuable(head, row?.broken ?? 0),
  };
}

function continuable(head: BackupEntity, broken: number): true | string {
  if (head.state !== 'BackedUp') return `the previous backup "${head.name}" is ${head.state}`;
  if (head.endOfChain) return `the previous backup "${head.name}" is the end of its chain`;
  if (broken > 0) return 'a backup that the chain needs is no longer whole';
  return true;
}
