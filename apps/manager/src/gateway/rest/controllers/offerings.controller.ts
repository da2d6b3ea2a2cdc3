/** /backup-offerings */
import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageQuerySchema, pageSchema, type Page, type PageQuery } from '@holdfast/shared/api/common.js';
import { createOfferingSchema, offeringSchema, type CreateOffering, type Offering } from '@holdfast/shared/api/offerings.js';
import type { Caller } from '../../../access/caller.js';
import { OfferingsService } from '../../../offerings/offerings.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { offeringIdSchema } from './ids.js';

@ApiTags('backup offerings')
@Controller('backup-offerings')
export class OfferingsController {
  constructor(private readonly offerings: OfferingsService) {}

  @Post()
  @RequiresPermission('offering.change')
  @TakesIdempotencyKey
  @Answers(201, 'Create an offering', offeringSchema)
  create(
    @CurrentCaller() caller: Caller,
    @Body({ schema: strict(createOfferingSchema) }) input: CreateOffering,
  ): Promise<Offering> {
    return this.offerings.create(caller, input);
  }

  @Get()
  @RequiresPermission('offering.read')
  @Answers(200, 'List offerings', pageSchema(offeringSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(pageQuerySchema) }) query: PageQuery): Promise<Page<Offering>> {
    return this.offerings.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('offering.read')
  @Answers(200, 'Show an offering', offeringSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: offeringIdSchema }) id: string): Promise<Offering> {
    return this.offerings.get(caller, id);
  }

  @Delete(':id')
  @RequiresPermission('offering.change')
  @AnswersNothing('Delete an offering that no VM has')
  delete(@CurrentCaller() caller: Caller, @Param('id', { schema: offeringIdSchema }) id: string): Promise<void> {
    return this.offerings.delete(caller, id);
  }
}
