/** Validates what routes declare, with every wrong field named. A body that is not sent is an empty one. */
import { Injectable, StandardSchemaValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import { InvalidInput, invalidInput } from '../errors/invalid-input.js';

@Injectable()
export class InputPipe extends StandardSchemaValidationPipe {
  constructor() {
    super({ exceptionFactory: invalidInput });
  }

  override async transform<T>(value: T, metadata: ArgumentMetadata): Promise<T> {
    try {
      return await super.transform(metadata.type === 'body' && value === undefined ? ({} as T) : value, metadata);
    } catch (error) {
      // A parameter of the path is a single value, so that its issues do not know its name.
      if (!(error instanceof InvalidInput) || metadata.type !== 'param') throw error;
      throw new InvalidInput(error.issues.map((issue) => ({ ...issue, path: metadata.data ?? issue.path })));
    }
  }
}
