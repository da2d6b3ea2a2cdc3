/** /operations, with their event stream. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Controller, Get, HttpCode, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiProduces, ApiResponse, ApiTags } from '@nestjs/swagger';
import { pageSchema, type Page } from '@holdfast/shared/api/common.js';
import { listOperationsSchema, operationSchema, type ListOperations, type Operation } from '@holdfast/shared/api/operations.js';
import type { Caller } from '../../../access/caller.js';
import { isFinished } from '../../../operations/operation-view.js';
import { OperationsService } from '../../../operations/operations.service.js';
import { CurrentCaller, RequiresPermission } from '../../access/route-access.js';
import { Answers, AnswersOperation, TakesIdempotencyKey } from '../answers.js';
import { lastSeenRevision, leavingOf, streamOperations } from '../event-stream.js';
import { strict } from '../strict.js';
import { operationIdSchema } from './ids.js';

@ApiTags('operations')
@Controller('operations')
export class OperationsController {
  constructor(private readonly operations: OperationsService) {}

  @Get()
  @RequiresPermission('operation.read')
  @Answers(200, 'List operations, newest first', pageSchema(operationSchema))
  list(
    @CurrentCaller() caller: Caller,
    @Query({ schema: strict(listOperationsSchema) }) query: ListOperations,
  ): Promise<Page<Operation>> {
    return this.operations.list(caller, query);
  }

  @Get(':id')
  @RequiresPermission('operation.read')
  @Answers(200, 'Show an operation', operationSchema)
  get(@CurrentCaller() caller: Caller, @Param('id', { schema: operationIdSchema }) id: string): Promise<Operation> {
    return this.operations.get(caller, id);
  }

  @Get(':id/events')
  @RequiresPermission('operation.read')
  @HttpCode(200)
  @ApiOperation({ summary: 'Follow an operation: an event `operation` with every change, ends with the finished one' })
  @ApiHeader({ name: 'Last-Event-ID', required: false, description: 'Revision that was seen last; only newer ones are sent' })
  @ApiProduces('text/event-stream')
  @ApiResponse({
    status: 200,
    description: 'Server-sent events: `id` is the revision, `data` the operation',
    schema: { type: 'string' },
  })
  @ApiResponse({ status: 204, description: 'It is finished, and the last revision was seen: there is nothing to come' })
  @ApiBearerAuth()
  async events(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: operationIdSchema }) id: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const seen = lastSeenRevision(request);
    const left = leavingOf(response);
    const now = await this.operations.get(caller, id);
    if (isFinished(now.state) && now.revision <= seen) {
      response.writeHead(204).end();
      return;
    }
    await streamOperations(response, this.operations.watch(caller, id, left), seen, left);
  }

  @Post(':id/actions/cancel')
  @RequiresPermission('operation.cancel')
  @TakesIdempotencyKey
  @AnswersOperation('Ask an operation to stop and undo')
  cancel(@CurrentCaller() caller: Caller, @Param('id', { schema: operationIdSchema }) id: string): Promise<Operation> {
    return this.operations.cancel(caller, id);
  }
}
