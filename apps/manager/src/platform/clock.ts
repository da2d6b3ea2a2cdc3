/** Time and new ids as a port, so that rules and tests decide what they are. */
import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';

@Injectable()
export class Clock {
  now(): Date {
    return new Date();
  }

  newId(): string {
    return randomUUID();
  }
}
