/** All entities, for the data source. */
import { AccountEntity, ApiKeyEntity, SettingOverrideEntity } from './access.entities.js';
import { BackupEntity, BackupVolumeEntity } from './backup.entities.js';
import { CertificateAuthorityEntity } from './certificate-authority.entity.js';
import { IdempotencyRecordEntity } from './idempotency.entity.js';
import { HostEntity, JoinTokenEntity, ZoneEntity } from './inventory.entities.js';
import { OfferingEntity } from './offering.entity.js';
import { OperationEntity } from './operation.entity.js';
import { ScheduleEntity } from './schedule.entity.js';
import { StorageEntity } from './storage.entity.js';
import { VmSnapshotEntity, VmSnapshotVolumeEntity, VolumeOverlayEntity } from './vm-snapshot.entities.js';
import { SupersededFileEntity, VmEntity, VolumeDeltaEntity, VolumeEntity } from './vm.entities.js';

export const ENTITIES = [
  AccountEntity,
  ApiKeyEntity,
  SettingOverrideEntity,
  CertificateAuthorityEntity,
  ZoneEntity,
  HostEntity,
  JoinTokenEntity,
  VmEntity,
  VolumeEntity,
  VolumeDeltaEntity,
  SupersededFileEntity,
  VmSnapshotEntity,
  VmSnapshotVolumeEntity,
  VolumeOverlayEntity,
  OfferingEntity,
  StorageEntity,
  BackupEntity,
  BackupVolumeEntity,
  ScheduleEntity,
  OperationEntity,
  IdempotencyRecordEntity,
];
