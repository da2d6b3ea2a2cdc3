/** Wires the offerings. */
import { Module } from '@nestjs/common';
import { OfferingsService } from './offerings.service.js';

@Module({ providers: [OfferingsService], exports: [OfferingsService] })
export class OfferingsModule {}
