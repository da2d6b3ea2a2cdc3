/**
 * Plans a backup; before it is refused for want of a storage, the storages are looked at again, because what is on record may
 * be a minute old and already mended. Owns that second try alone.
 */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { VmEntity } from '../persistence/entities/vm.entities.js';
import type { SettingsService } from '../settings/settings.service.js';
import type { StoragesService } from '../storage/storages.service.js';
import { readPlanFacts } from './backup-facts.js';
import { planBackup, type BackupPlan, type PlanFacts } from './plan-backup.js';

/** The facts and the plan that was made of them. STORAGE_MISSING or STORAGE_FULL only after a fresh look. */
export async function planWithFreshStorages(
  ports: { manager: EntityManager; settings: SettingsService; storages: StoragesService },
  vm: VmEntity,
  backup: { id: string; isolated: boolean },
): Promise<{ facts: PlanFacts; plan: BackupPlan }> {
  const read = (): Promise<PlanFacts> => readPlanFacts(ports.manager, ports.settings, vm, backup);
  const facts = await read();
  try {
    return { facts, plan: planBackup(facts) };
  } catch (thrown) {
    const { code } = HoldfastError.from(thrown);
    if (code !== 'STORAGE_MISSING' && code !== 'STORAGE_FULL') throw thrown;
    await ports.storages.refreshZone(vm.zoneId);
    const fresh = await read();
    return { facts: fresh, plan: planBackup(fresh) };
  }
}
