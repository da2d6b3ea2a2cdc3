/** /healthz: is this manager able to work. */
import { Controller, Get } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { PublicRoute } from '../../access/route-access.js';

@ApiExcludeController()
@Controller('healthz')
export class HealthController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  @PublicRoute('Load balancers and supervisors ask without a key; it tells nothing but yes or no')
  async check(): Promise<{ status: 'ok' }> {
    await this.dataSource.query('SELECT 1').catch((error: unknown) => {
      throw new HoldfastError('INTERRUPTED', 'The database does not answer.', {}, { cause: error });
    });
    return { status: 'ok' };
  }
}
