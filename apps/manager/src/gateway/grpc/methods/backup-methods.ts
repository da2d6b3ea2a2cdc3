/** Secondary storages, offerings, backups and operations over gRPC. */
import {
  createBackupSchema,
  finishBackupChainSchema,
  listBackupsSchema,
  restoreBackupSchema,
} from '@holdfast/shared/api/backups.js';
import { createOfferingSchema } from '@holdfast/shared/api/offerings.js';
import { listOperationsSchema } from '@holdfast/shared/api/operations.js';
import {
  cleanStorageSchema,
  createStorageSchema,
  listStoragesSchema,
  scanStorageSchema,
  updateStorageSchema,
} from '@holdfast/shared/api/storage.js';
import { parseInput } from '../../errors/invalid-input.js';
import { BACKUP_STATES, fromWire, OPERATION_KINDS, OPERATION_STATES, QUIESCE, STORAGE_TYPES } from '../enums.js';
import {
  backupMessage,
  offeringMessage,
  operationMessage,
  storageCheckMessage,
  storageCleaningMessage,
  storageMessage,
  storageScanMessage,
} from '../messages.js';
import { idOf, pageOf, type Methods } from '../method.js';
import type { ManagerServices } from '../manager-services.js';

type StorageMethod =
  | 'createSecondaryStorage'
  | 'listSecondaryStorages'
  | 'getSecondaryStorage'
  | 'updateSecondaryStorage'
  | 'deleteSecondaryStorage'
  | 'checkSecondaryStorage'
  | 'scanSecondaryStorage'
  | 'cleanSecondaryStorage';

export function storageMethods({ storages, storageChecks, storageScans }: ManagerServices): Methods<StorageMethod> {
  return {
    createSecondaryStorage: {
      permission: 'storage.change',
      answer: async (caller, { zoneId, name, type, source, options, adopt }) => {
        const input = parseInput(createStorageSchema, {
          zoneId,
          name,
          type: fromWire(STORAGE_TYPES, type, 'type'),
          source,
          options,
          adopt,
        });
        return { storage: storageMessage(await storages.create(caller, input)) };
      },
    },
    listSecondaryStorages: {
      permission: 'storage.read',
      answer: async (caller, request) => {
        const page = await storages.list(
          caller,
          parseInput(listStoragesSchema, { ...pageOf(request.page), zoneId: request.zoneId }),
        );
        return { storages: page.items.map(storageMessage), next: page.next ?? '' };
      },
    },
    getSecondaryStorage: {
      permission: 'storage.read',
      answer: async (caller, request) => ({
        storage: storageMessage(await storages.get(caller, idOf('storage_id', request.storageId))),
      }),
    },
    updateSecondaryStorage: {
      permission: 'storage.change',
      answer: async (caller, request) => {
        const input = parseInput(updateStorageSchema, { name: request.name, readOnly: request.readOnly });
        return { storage: storageMessage(await storages.update(caller, idOf('storage_id', request.storageId), input)) };
      },
    },
    deleteSecondaryStorage: {
      permission: 'storage.change',
      answer: async (caller, request) => {
        await storages.delete(caller, idOf('storage_id', request.storageId));
        return {};
      },
    },
    checkSecondaryStorage: {
      permission: 'storage.read',
      answer: async (caller, request) => ({
        check: storageCheckMessage(await storageChecks.check(caller, idOf('storage_id', request.storageId))),
      }),
    },
    scanSecondaryStorage: {
      permission: 'storage.change',
      answer: async (caller, { storageId, dryRun }) => {
        const input = parseInput(scanStorageSchema, { dryRun });
        return { scan: storageScanMessage(await storageScans.scan(caller, idOf('storage_id', storageId), input)) };
      },
    },
    cleanSecondaryStorage: {
      permission: 'storage.change',
      answer: async (caller, { storageId, findings }) => {
        const input = parseInput(cleanStorageSchema, { findings });
        return { cleaning: storageCleaningMessage(await storageChecks.clean(caller, idOf('storage_id', storageId), input)) };
      },
    },
  };
}

type OfferingMethod = 'createBackupOffering' | 'listBackupOfferings' | 'getBackupOffering' | 'deleteBackupOffering';

export function offeringMethods({ offerings }: ManagerServices): Methods<OfferingMethod> {
  return {
    createBackupOffering: {
      permission: 'offering.change',
      answer: async (caller, { name, description, chainSize }) => ({
        offering: offeringMessage(
          await offerings.create(caller, parseInput(createOfferingSchema, { name, description, chainSize })),
        ),
      }),
    },
    listBackupOfferings: {
      permission: 'offering.read',
      answer: async (caller, request) => {
        const page = await offerings.list(caller, pageOf(request.page));
        return { offerings: page.items.map(offeringMessage), next: page.next ?? '' };
      },
    },
    getBackupOffering: {
      permission: 'offering.read',
      answer: async (caller, request) => ({
        offering: offeringMessage(await offerings.get(caller, idOf('offering_id', request.offeringId))),
      }),
    },
    deleteBackupOffering: {
      permission: 'offering.change',
      answer: async (caller, request) => {
        await offerings.delete(caller, idOf('offering_id', request.offeringId));
        return {};
      },
    },
  };
}

export function backupMethods({
  backups,
  restores,
  vms,
}: ManagerServices): Methods<'createBackup' | 'listBackups' | 'getBackup' | 'restoreBackup' | 'finishBackupChain'> {
  return {
    createBackup: {
      permission: 'backup.create',
      answer: async (caller, { vmId, name, description, isolated, quiesce }) => {
        const input = parseInput(createBackupSchema, {
          name,
          description,
          isolated,
          quiesce: fromWire(QUIESCE, quiesce, 'quiesce'),
        });
        return { operation: operationMessage(await backups.create(caller, idOf('vm_id', vmId), input)) };
      },
    },
    listBackups: {
      permission: 'backup.read',
      answer: async (caller, request) => {
        const { vmId, storageId } = request;
        const state = fromWire(BACKUP_STATES, request.state, 'state');
        const page = await backups.list(
          caller,
          parseInput(listBackupsSchema, { ...pageOf(request.page), vmId, storageId, state }),
        );
        return { backups: page.items.map(backupMessage), next: page.next ?? '' };
      },
    },
    getBackup: {
      permission: 'backup.read',
      answer: async (caller, request) => ({
        backup: backupMessage(await backups.get(caller, idOf('backup_id', request.backupId))),
      }),
    },
    restoreBackup: {
      permission: 'backup.restore',
      answer: async (caller, { backupId, acceptDamaged, hostId, dropSnapshots }) => {
        const input = parseInput(restoreBackupSchema, { acceptDamaged, hostId, dropSnapshots });
        return { operation: operationMessage(await restores.restore(caller, idOf('backup_id', backupId), input)) };
      },
    },
    finishBackupChain: {
      permission: 'vm.finish-chain',
      answer: async (caller, { vmId, dryRun }) => ({
        operation: operationMessage(
          await vms.finishBackupChain(caller, idOf('vm_id', vmId), parseInput(finishBackupChainSchema, { dryRun })),
        ),
      }),
    },
  };
}

export function operationMethods({
  operations,
}: ManagerServices): Methods<'getOperation' | 'listOperations' | 'watchOperation' | 'cancelOperation'> {
  return {
    getOperation: {
      permission: 'operation.read',
      answer: async (caller, request) => ({
        operation: operationMessage(await operations.get(caller, idOf('operation_id', request.operationId))),
      }),
    },
    listOperations: {
      permission: 'operation.read',
      answer: async (caller, request) => {
        const { vmId, hostId } = request;
        const state = fromWire(OPERATION_STATES, request.state, 'state');
        const kind = fromWire(OPERATION_KINDS, request.kind, 'kind');
        const page = await operations.list(
          caller,
          parseInput(listOperationsSchema, { ...pageOf(request.page), vmId, hostId, state, kind }),
        );
        return { operations: page.items.map(operationMessage), next: page.next ?? '' };
      },
    },
    watchOperation: {
      permission: 'operation.read',
      stream: async function* (caller, request, signal) {
        for await (const operation of operations.watch(caller, idOf('operation_id', request.operationId), signal)) {
          yield { operation: operationMessage(operation) };
        }
      },
    },
    cancelOperation: {
      permission: 'operation.cancel',
      answer: async (caller, request) => ({
        operation: operationMessage(await operations.cancel(caller, idOf('operation_id', request.operationId))),
      }),
    },
  };
}
