/** /hosts, their join tokens, and /host-joins where a host comes in with one. */
import { Body, Controller, Delete, Get, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import {
  createJoinTokenSchema,
  deleteHostSchema,
  hostSchema,
  joinedHostSchema,
  joinHostSchema,
  joinTokenSchema,
  listHostsSchema,
  updateHostSchema,
  type CreateJoinToken,
  type DeleteHost,
  type Host,
  type JoinedHost,
  type JoinHost,
  type JoinToken,
  type ListHosts,
  type UpdateHost,
} from '@holdfast/shared/api/inventory.js';
import type { Caller } from '../../../access/caller.js';
import { HostsService } from '../../../inventory/hosts.service.js';
import { JoinService } from '../../../inventory/join.service.js';
import { CurrentCaller, PublicRoute, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersNothing, TakesIdempotencyKey } from '../answers.js';
import { strict } from '../strict.js';
import { hostIdSchema } from './ids.js';

@ApiTags('hosts')
@Controller('hosts')
export class HostsController {
  constructor(
    private readonly hosts: HostsService,
    private readonly joins: JoinService,
  ) {}

  @Get()
  @RequiresPermission('host.read')
  @Answers(200, 'List hosts', pageSchema(hostSchema))
  list(@CurrentCaller() caller: Caller, @Query({ schema: strict(listHostsSchema) }) query: ListHosts): Promise<Page<Host>> {
    return this.hosts.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('host.read')
  @Answers(200, 'Show a host', hostSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: hostIdSchema }) id: string): Promise<Host> {
    return this.hosts.get(caller, id);
  }

  @Patch(':id')
  @RequiresPermission('host.change')
  @Answers(200, 'Rename, enable or disable a host, or change its address', hostSchema)
  update(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: hostIdSchema }) id: string,
    @Body({ schema: strict(updateHostSchema) }) input: UpdateHost,
  ): Promise<Host> {
    return this.hosts.update(caller, id, input);
  }

  @Delete(':id')
  @RequiresPermission('host.change')
  @AnswersNothing('Forget a host that is not used any more, or that is lost with its VMs')
  delete(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: hostIdSchema }) id: string,
    @Query({ schema: strict(deleteHostSchema) }) input: DeleteHost,
  ): Promise<void> {
    return this.hosts.delete(caller, id, input);
  }

  @Post('join-tokens')
  @RequiresPermission('host.invite')
  @TakesIdempotencyKey
  @Answers(201, 'Make a one-time token with which a host joins a zone', joinTokenSchema)
  createJoinToken(
    @CurrentCaller() caller: Caller,
    @Body({ schema: strict(createJoinTokenSchema) }) input: CreateJoinToken,
  ): Promise<JoinToken> {
    return this.joins.createToken(caller, input);
  }
}

@ApiTags('hosts')
@Controller('host-joins')
export class HostJoinsController {
  constructor(private readonly joins: JoinService) {}

  @Post()
  @PublicRoute('A host that joins has no key yet: its one-time token is the permission')
  @TakesIdempotencyKey
  @Answers(201, 'Join a zone with a one-time token; called by agents', joinedHostSchema)
  join(@Body({ schema: strict(joinHostSchema) }) input: JoinHost): Promise<JoinedHost> {
    return this.joins.join(input);
  }
}
