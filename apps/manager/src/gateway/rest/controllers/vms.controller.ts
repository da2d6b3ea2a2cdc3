/** /vms: inventory, offering, backups to be taken, end of chain, files that restores left behind. */
import { Body, Controller, Delete, Get, Param, Patch, Post, Put, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  createBackupSchema,
  finishBackupChainSchema,
  type CreateBackup,
  type FinishBackupChain,
} from '@holdfast/shared/api/backups.js';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import {
  listVmsSchema,
  supersededFileSchema,
  updateVmSchema,
  vmSchema,
  volumeSchema,
  type ListVms,
  type SupersededFile,
  type UpdateVm,
  type Vm,
  type Volume,
} from '@holdfast/shared/api/inventory.js';
import { assignOfferingSchema } from '@holdfast/shared/api/offerings.js';
import type { Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../../../access/caller.js';
import { BackupsService } from '../../../backups/backups.service.js';
import { RestoresService } from '../../../restores/restores.service.js';
import { VmsService } from '../../../vms/vms.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersOperation, itemsSchema, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { fileIdSchema, vmIdSchema } from './ids.js';

@ApiTags('VMs')
@Controller('vms')
export class VmsController {
  constructor(
    private readonly vms: VmsService,
    private readonly backups: BackupsService,
    private readonly restores: RestoresService,
  ) {}

  @Get()
  @RequiresPermission('vm.read')
  @Answers(200, 'List VMs', pageSchema(vmSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(listVmsSchema) }) query: ListVms): Promise<Page<Vm>> {
    return this.vms.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('vm.read')
  @Answers(200, 'Show a VM', vmSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: vmIdSchema }) id: string): Promise<Vm> {
    return this.vms.get(caller, id);
  }

  @Patch(':id')
  @RequiresPermission('vm.change')
  @Answers(200, 'Give a VM an owner, or settings', vmSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(updateVmSchema) }) input: UpdateVm,
  ): Promise<Vm> {
    return this.vms.update(caller, id, input);
  }

  @Get(':id/volumes')
  @RequiresPermission('vm.read')
  @Answers(200, 'List the volumes of a VM with their layers', itemsSchema(volumeSchema))
  async volumes(@CurrentCaller() caller: Caller, @Param('id', { schema: vmIdSchema }) id: string): Promise<{ items: Volume[] }> {
    return { items: await this.vms.volumes(caller, id) };
  }

  @Put(':id/backup-offering')
  @RequiresPermission('vm.assign-offering')
  @Answers(200, 'Give a VM an offering', vmSchema)
  assignOffering(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(assignOfferingSchema) }) input: { offeringId: string },
  ): Promise<Vm> {
    return this.vms.assignOffering(caller, id, input);
  }

  @Delete(':id/backup-offering')
  @RequiresPermission('vm.assign-offering')
  @AnswersOperation("Take a VM's offering away: its chain ends and its deltas are merged")
  unassignOffering(@CurrentCaller() caller: Caller, @Param('id', { schema: vmIdSchema }) id: string): Promise<Operation> {
    return this.vms.unassignOffering(caller, id);
  }

  @Post(':id/backups')
  @RequiresPermission('backup.create')
  @TakesIdempotencyKey
  @AnswersOperation('Back up a VM')
  createBackup(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(createBackupSchema) }) input: CreateBackup,
  ): Promise<Operation> {
    return this.backups.create(caller, id, input);
  }

  @Post(':id/actions/finish-backup-chain')
  @RequiresPermission('vm.finish-chain')
  @TakesIdempotencyKey
  @AnswersOperation('End the chain of a VM and bring its disks to rest; with dryRun only the plan')
  finishBackupChain(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Body({ schema: strict(finishBackupChainSchema) }) input: FinishBackupChain,
  ): Promise<Operation> {
    return this.vms.finishBackupChain(caller, id, input);
  }

  @Get(':id/superseded-files')
  @RequiresPermission('vm.read')
  @Answers(200, 'List the files that restores and volumes that moved left behind', itemsSchema(supersededFileSchema))
  async supersededFiles(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
  ): Promise<{ items: SupersededFile[] }> {
    return { items: await this.restores.supersededFiles(caller, id) };
  }

  @Delete(':id/superseded-files')
  @RequiresPermission('vm.release-files')
  @AnswersOperation('Delete all files of one host that restores left behind, after proving that nothing uses them')
  releaseSupersededFiles(@CurrentCaller() caller: Caller, @Param('id', { schema: vmIdSchema }) id: string): Promise<Operation> {
    return this.restores.releaseSupersededFiles(caller, id);
  }

  @Delete(':id/superseded-files/:fileId')
  @RequiresPermission('vm.release-files')
  @AnswersOperation('Delete one left-behind file, after proving that nothing uses it')
  releaseSupersededFile(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: vmIdSchema }) id: string,
    @Param('fileId', { schema: fileIdSchema }) fileId: string,
  ): Promise<Operation> {
    return this.restores.releaseSupersededFiles(caller, id, [fileId]);
  }
}
