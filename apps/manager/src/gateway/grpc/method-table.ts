/** Every method of holdfast.manager.v1, with its permission. A method that is missing does not compile. */
import type { ManagerServices } from './manager-services.js';
import type { MethodTable } from './method.js';
import { accessMethods, settingMethods } from './methods/access-methods.js';
import { backupMethods, offeringMethods, operationMethods, storageMethods } from './methods/backup-methods.js';
import { deletionMethods } from './methods/deletion-methods.js';
import { compactionMethods } from './methods/compaction-methods.js';
import { vmSnapshotMethods } from './methods/vm-snapshot-methods.js';
import { hostMethods, vmMethods, zoneMethods } from './methods/inventory-methods.js';
import { scheduleMethods } from './methods/schedule-methods.js';

export function methodTable(services: ManagerServices): MethodTable {
  return {
    ...zoneMethods(services),
    ...hostMethods(services),
    ...vmMethods(services),
    ...storageMethods(services),
    ...offeringMethods(services),
    ...backupMethods(services),
    ...scheduleMethods(services),
    ...deletionMethods(services),
    ...compactionMethods(services),
    ...vmSnapshotMethods(services),
    ...operationMethods(services),
    ...settingMethods(services),
    ...accessMethods(services),
  };
}
