/**
 * DeleteVmSnapshots. Owns the order of its steps:
 *
 *   preflight → [point of no return] → forget (libvirt's own record of each named snapshot) → each volume is settled:
 *   layers that no snapshot needs any more are merged or removed
 *
 * A record goes before its layers: a record that names a file which is gone would be a lie, a layer without a record is only
 * a layer. There is no way back and no need for one: each part is whole in itself, repeatable, and what the guest sees never
 * changes. What cannot be merged now is left for later.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, Outcome, StepContext } from '../../operations/command.js';
import { mergeOrPostpone } from '../merge/merge-or-postpone.js';
import type { CommandPorts } from '../ports.js';
import type { DeleteVmSnapshotsRequest, DeleteVmSnapshotsResult } from '../requests.js';
import { bigintJson } from '../shared/bigint-json.js';
import { observeExisting, withHypervisor } from '../shared/observe-settled.js';

export function deleteVmSnapshotsCommand(ports: CommandPorts): Command<DeleteVmSnapshotsRequest, DeleteVmSnapshotsResult> {
  return {
    kind: 'DeleteVmSnapshots',
    codec: bigintJson<DeleteVmSnapshotsRequest>(),
    resultCodec: bigintJson<DeleteVmSnapshotsResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    // Before the point of no return nothing was touched.
    undo: async () => ({ vmOutcome: 'AsBefore' }),
  };
}

async function run(
  ports: CommandPorts,
  request: DeleteVmSnapshotsRequest,
  context: StepContext,
): Promise<Outcome<DeleteVmSnapshotsResult>> {
  const { vmUuid } = request.header;
  await context.step('preflight', '', {}, async () => {
    const domain = await observeExisting(ports, vmUuid, context.log);
    const problem = domain.problems[0];
    if (problem) throw HoldfastError.fromData(problem);
    return null;
  });
  await context.pointOfNoReturn();
  for (const name of request.libvirtSnapshotNames) {
    await context.step('forget', name, { name }, async (intent) => {
      await withHypervisor(ports, () => ports.hypervisor.forgetSnapshot(vmUuid, intent.name));
      return null;
    });
  }
  const { pending, changes } = await mergeOrPostpone(ports, context, vmUuid, request.volumes);
  return { result: { changes }, vmOutcome: pending ? 'MergePending' : 'AsAfter' };
}
