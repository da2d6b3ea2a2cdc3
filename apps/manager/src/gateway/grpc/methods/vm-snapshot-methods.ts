/** VM snapshots over gRPC. */
import { createVmSnapshotSchema, listVmSnapshotsSchema } from '@holdfast/shared/api/vm-snapshots.js';
import { parseInput } from '../../errors/invalid-input.js';
import { fromWire, QUIESCE, VM_SNAPSHOT_STATES } from '../enums.js';
import type { ManagerServices } from '../manager-services.js';
import { operationMessage, vmSnapshotMessage } from '../messages.js';
import { idOf, type Methods } from '../method.js';

type Method = 'createVmSnapshot' | 'listVmSnapshots' | 'getVmSnapshot' | 'revertToVmSnapshot' | 'deleteVmSnapshot';

export function vmSnapshotMethods({ snapshots }: ManagerServices): Methods<Method> {
  const id = (request: { readonly vmSnapshotId: string }): string => idOf('vm_snapshot_id', request.vmSnapshotId);
  return {
    createVmSnapshot: {
      permission: 'vm-snapshot.create',
      answer: async (caller, { vmId, name, description, quiesce, volumes }) => {
        const input = parseInput(createVmSnapshotSchema, {
          name,
          description,
          quiesce: fromWire(QUIESCE, quiesce, 'quiesce'),
          volumes: volumes.length === 0 ? undefined : volumes,
        });
        return { operation: operationMessage(await snapshots.create(caller, idOf('vm_id', vmId), input)) };
      },
    },
    listVmSnapshots: {
      permission: 'vm-snapshot.read',
      answer: async (caller, request) => {
        const state = fromWire(VM_SNAPSHOT_STATES, request.state, 'state');
        const query = parseInput(listVmSnapshotsSchema, { state });
        return { snapshots: (await snapshots.list(caller, idOf('vm_id', request.vmId), query)).map(vmSnapshotMessage) };
      },
    },
    getVmSnapshot: {
      permission: 'vm-snapshot.read',
      answer: async (caller, request) => ({ snapshot: vmSnapshotMessage(await snapshots.get(caller, id(request))) }),
    },
    revertToVmSnapshot: {
      permission: 'vm-snapshot.revert',
      answer: async (caller, request) => ({ operation: operationMessage(await snapshots.revert(caller, id(request))) }),
    },
    deleteVmSnapshot: {
      permission: 'vm-snapshot.delete',
      answer: async (caller, request) => ({ operation: operationMessage(await snapshots.delete(caller, id(request))) }),
    },
  };
}
