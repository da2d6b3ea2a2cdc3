/** Zones, hosts and VMs over gRPC. */
import {
  createJoinTokenSchema,
  createZoneSchema,
  deleteHostSchema,
  listHostsSchema,
  listVmsSchema,
  updateHostSchema,
  updateVmSchema,
} from '@holdfast/shared/api/inventory.js';
import { assignOfferingSchema } from '@holdfast/shared/api/offerings.js';
import { parseInput } from '../../errors/invalid-input.js';
import { hostMessage, operationMessage, supersededFileMessage, vmMessage, volumeMessage, zoneMessage } from '../messages.js';
import { idOf, pageOf, type Methods } from '../method.js';
import type { ManagerServices } from '../manager-services.js';

export function zoneMethods({ zones }: ManagerServices): Methods<'createZone' | 'listZones' | 'getZone' | 'deleteZone'> {
  return {
    createZone: {
      permission: 'zone.change',
      answer: async (caller, { name }) => ({
        zone: zoneMessage(await zones.create(caller, parseInput(createZoneSchema, { name }))),
      }),
    },
    listZones: {
      permission: 'zone.read',
      answer: async (caller, request) => {
        const page = await zones.list(caller, pageOf(request.page));
        return { zones: page.items.map(zoneMessage), next: page.next ?? '' };
      },
    },
    getZone: {
      permission: 'zone.read',
      answer: async (caller, request) => ({ zone: zoneMessage(await zones.get(caller, idOf('zone_id', request.zoneId))) }),
    },
    deleteZone: {
      permission: 'zone.change',
      answer: async (caller, request) => {
        await zones.delete(caller, idOf('zone_id', request.zoneId));
        return {};
      },
    },
  };
}

export function hostMethods({
  hosts,
  joins,
}: ManagerServices): Methods<'createJoinToken' | 'listHosts' | 'getHost' | 'updateHost' | 'deleteHost'> {
  return {
    createJoinToken: {
      permission: 'host.invite',
      answer: async (caller, request) => {
        const input = parseInput(createJoinTokenSchema, {
          zoneId: request.zoneId,
          validSeconds: request.validSeconds || undefined,
        });
        const { token, expiresAt } = await joins.createToken(caller, input);
        return { token, expiresAt: new Date(expiresAt) };
      },
    },
    listHosts: {
      permission: 'host.read',
      answer: async (caller, request) => {
        const page = await hosts.list(caller, parseInput(listHostsSchema, { ...pageOf(request.page), zoneId: request.zoneId }));
        return { hosts: page.items.map(hostMessage), next: page.next ?? '' };
      },
    },
    getHost: {
      permission: 'host.read',
      answer: async (caller, request) => ({ host: hostMessage(await hosts.get(caller, idOf('host_id', request.hostId))) }),
    },
    updateHost: {
      permission: 'host.change',
      answer: async (caller, request) => {
        const { name, enabled, address } = request;
        const input = parseInput(updateHostSchema, { name, enabled, address });
        return { host: hostMessage(await hosts.update(caller, idOf('host_id', request.hostId), input)) };
      },
    },
    deleteHost: {
      permission: 'host.change',
      answer: async (caller, request) => {
        const input = parseInput(deleteHostSchema, { lost: request.lost });
        await hosts.delete(caller, idOf('host_id', request.hostId), input);
        return {};
      },
    },
  };
}

type VmMethod =
  | 'listVms'
  | 'getVm'
  | 'updateVm'
  | 'listVolumes'
  | 'listSupersededFiles'
  | 'releaseSupersededFiles'
  | 'assignVirtualMachineToBackupOffering'
  | 'removeVirtualMachineFromBackupOffering';

export function vmMethods({ vms, restores }: ManagerServices): Methods<VmMethod> {
  return {
    listVms: {
      permission: 'vm.read',
      answer: async (caller, request) => {
        const { zoneId, hostId, name } = request;
        const page = await vms.list(caller, parseInput(listVmsSchema, { ...pageOf(request.page), zoneId, hostId, name }));
        return { vms: page.items.map(vmMessage), next: page.next ?? '' };
      },
    },
    getVm: {
      permission: 'vm.read',
      answer: async (caller, request) => ({ vm: vmMessage(await vms.get(caller, idOf('vm_id', request.vmId))) }),
    },
    updateVm: {
      permission: 'vm.change',
      answer: async (caller, request) => {
        const input = parseInput(updateVmSchema, {
          accountId: request.accountId === '' ? null : request.accountId,
          settings: Object.keys(request.settings).length === 0 ? undefined : request.settings,
        });
        return { vm: vmMessage(await vms.update(caller, idOf('vm_id', request.vmId), input)) };
      },
    },
    listVolumes: {
      permission: 'vm.read',
      answer: async (caller, request) => ({
        volumes: (await vms.volumes(caller, idOf('vm_id', request.vmId))).map(volumeMessage),
      }),
    },
    listSupersededFiles: {
      permission: 'vm.read',
      answer: async (caller, request) => ({
        files: (await restores.supersededFiles(caller, idOf('vm_id', request.vmId))).map(supersededFileMessage),
      }),
    },
    releaseSupersededFiles: {
      permission: 'vm.release-files',
      answer: async (caller, request) => {
        const ids = request.fileIds.map((id) => idOf('file_ids', id));
        const operation = await restores.releaseSupersededFiles(
          caller,
          idOf('vm_id', request.vmId),
          ids.length === 0 ? undefined : ids,
        );
        return { operation: operationMessage(operation) };
      },
    },
    assignVirtualMachineToBackupOffering: {
      permission: 'vm.assign-offering',
      answer: async (caller, request) => {
        const input = parseInput(assignOfferingSchema, { offeringId: request.offeringId });
        return { vm: vmMessage(await vms.assignOffering(caller, idOf('vm_id', request.vmId), input)) };
      },
    },
    removeVirtualMachineFromBackupOffering: {
      permission: 'vm.assign-offering',
      answer: async (caller, request) => ({
        operation: operationMessage(await vms.unassignOffering(caller, idOf('vm_id', request.vmId))),
      }),
    },
  };
}
