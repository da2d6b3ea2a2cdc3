/**
 * Where the volumes of backups that turned up belong: a restore needs a record of each. Owns which disk of the VM is taken for
 * which volume. In the transaction, and under the lock on the VM, of the scan that found them.
 */
import { In, type EntityManager } from 'typeorm';
import type { ManifestVolume } from '@holdfast/shared/manifest/manifest.js';
import type { SurveyedDisk } from '../../agents/agent-types.js';
import { bottomPath } from '../../backups/delta-paths.js';
import { BackupVolumeEntity } from '../../persistence/entities/backup.entities.js';
import { VmSnapshotVolumeEntity, VolumeOverlayEntity } from '../../persistence/entities/vm-snapshot.entities.js';
import { SupersededFileEntity, VolumeDeltaEntity, VolumeEntity, type VmEntity } from '../../persistence/entities/vm.entities.js';
import type { FoundBackup } from './plan-scan.js';

interface Wanted {
  readonly volume: ManifestVolume;
  readonly disk: SurveyedDisk;
  /** The newest of these backups has it. */
  readonly current: boolean;
}

/**
 * Records each volume that is not on record yet. A disk of a VM that exists, which no record names and which the newest backup
 * has under the same target and serial, becomes that volume; any other volume is a disk that is detached, or, of a VM that is
 * gone, as it was. Returns what people should know, a sentence each.
 */
export async function placeVolumes(manager: EntityManager, vm: VmEntity, found: readonly FoundBackup[]): Promise<string[]> {
  const wanted = wantedVolumes(found);
  const keys = [...wanted.keys()];
  const recorded = new Set((await manager.findBy(VolumeEntity, { id: In(keys) })).map(({ id }) => id));
  const warnings: string[] = [];
  for (const { volume, disk, current } of wanted.values()) {
    if (recorded.has(volume.key)) continue;
    const gone = vm.powerState === 'Gone';
    const there = gone ? null : await manager.findOneBy(VolumeEntity, { vmId: vm.id, target: volume.device, attached: true });
    if (
      there !== null &&
      current &&
      there.serial === disk.serial &&
      !keys.includes(there.id) &&
      !(await isNamed(manager, there.id))
    ) {
      await manager.update(VolumeEntity, { id: there.id }, { id: volume.key });
      continue;
    }
    const asItWas =
      gone && current && !(await manager.existsBy(VolumeEntity, { vmId: vm.id, target: volume.device, attached: true }));
    await manager.insert(VolumeEntity, {
      id: volume.key,
      vmId: vm.id,
      target: volume.device,
      serial: disk.serial,
      attached: asItWas,
      format: volume.sourceFormat,
      virtualSizeBytes: BigInt(volume.virtualSizeBytes),
      layers: [],
      basePath: bottomPath(disk.path),
      templatePath: null,
      intendedPath: null,
      refusal: null,
    });
    if (there !== null && current)
      warnings.push(
        `The disk ${volume.device} of VM ${vm.name} is on record as another volume than the one in these backups, which a restore ` +
          'therefore attaches as one more disk. Undefine the VM before the restore to have it back in its place.',
      );
  }
  return warnings;
}

/** By key, as the newest backup that has it says. */
function wantedVolumes(found: readonly FoundBackup[]): Map<string, Wanted> {
  const newestFirst = [...found].sort((a, b) => (a.manifest.frozenAt < b.manifest.frozenAt ? 1 : -1));
  const wanted = new Map<string, Wanted>();
  for (const [index, { manifest, disks }] of newestFirst.entries()) {
    for (const volume of manifest.volumes) {
      const disk = disks.find(({ target }) => target === volume.device);
      if (disk !== undefined && !wanted.has(volume.key)) wanted.set(volume.key, { volume, disk, current: index === 0 });
    }
  }
  return wanted;
}

/** A record means this volume, so it has to keep its id. */
async function isNamed(manager: EntityManager, volumeId: string): Promise<boolean> {
  const named = await Promise.all([
    manager.existsBy(BackupVolumeEntity, { key: volumeId }),
    manager.existsBy(VolumeDeltaEntity, { volumeId }),
    manager.existsBy(VolumeOverlayEntity, { volumeId }),
    manager.existsBy(VmSnapshotVolumeEntity, { volumeId }),
    manager.existsBy(SupersededFileEntity, { volumeId }),
  ]);
  return named.includes(true);
}
