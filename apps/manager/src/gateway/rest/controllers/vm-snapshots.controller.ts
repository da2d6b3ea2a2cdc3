/** /vms/{id}/snapshots and /vm-snapshots: what there is, taking, reverting to and deleting one. */
import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Operation } from '@holdfast/shared/api/operations.js';
import {
  createVmSnapshotSchema,
  listVmSnapshotsSchema,
  vmSnapshotSchema,
  type CreateVmSnapshot,
  type ListVmSnapshots,
  type VmSnapshot,
} from '@holdfast/shared/api/vm-snapshots.js';
import type { Caller } from '../../../access/caller.js';
import { VmSnapshotsService } from '../../../vm-snapshots/vm-snapshots.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersOperation, itemsSchema, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { vmIdSchema, vmSnapshotIdSchema } from './ids.js';

@ApiTags('VM snapshots')
@Controller('vms')
export class SnapshotsOfVmController {
  constructor(private readonly snapshots: VmSnapshotsService) {}

  @Post(':id/snapshots')
  @RequiresPermission('vm-snapshot.create')
  @TakesIdempotencyKey
  @AnswersOperation('Take a disk-only snapshot of a VM, or of some of its volumes')
  create(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(createVmSnapshotSchema) }) input: CreateVmSnapshot,
  ): Promise<Operation> {
    return this.snapshots.create(caller, id, input);
  }

  @Get(':id/snapshots')
  @RequiresPermission('vm-snapshot.read')
  @Answers(200, 'List the snapshots of a VM as a tree, those that virsh made among them', itemsSchema(vmSnapshotSchema))
  async list(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Query({ schema: strict(listVmSnapshotsSchema) }) query: ListVmSnapshots,
  ): Promise<{ items: VmSnapshot[] }> {
    return { items: await this.snapshots.list(caller, id, query) };
  }
}

@ApiTags('VM snapshots')
@Controller('vm-snapshots')
export class VmSnapshotsController {
  constructor(private readonly snapshots: VmSnapshotsService) {}

  @Get(':id')
  @RequiresPermission('vm-snapshot.read')
  @Answers(200, 'Show a VM snapshot', vmSnapshotSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: vmSnapshotIdSchema }) id: string): Promise<VmSnapshot> {
    return this.snapshots.get(caller, id);
  }

  @Post(':id/actions/revert')
  @RequiresPermission('vm-snapshot.revert')
  @TakesIdempotencyKey
  @AnswersOperation('Let a stopped VM go on from this snapshot')
  revert(@CurrentCaller() caller: Caller, @Param('id', { schema: vmSnapshotIdSchema }) id: string): Promise<Operation> {
    return this.snapshots.revert(caller, id);
  }

  @Delete(':id')
  @RequiresPermission('vm-snapshot.delete')
  @AnswersOperation('Delete a VM snapshot: its layers are merged as far as nothing else needs them')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: vmSnapshotIdSchema }) id: string): Promise<Operation> {
    return this.snapshots.delete(caller, id);
  }
}
