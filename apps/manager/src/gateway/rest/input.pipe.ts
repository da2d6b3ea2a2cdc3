/** Validates what routes declare, with every wrong field named. A body that is not sent is an empty one. */
import { Injectable, StandardSchemaValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import { invalidInput } from '../errors/invalid-input.js';

@Injectable()
export class InputPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({ exceptionFactory: invalidInput });
  }

  override transform<T>(value: T, metadata: ArgumentMetadata): Promise<T> {
    return super.transform(metadata.type === 'body' && value === undefined ? ({} as T) : value, metadata);
  }
}
