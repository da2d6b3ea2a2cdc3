/** Rows of backup offerings. */
import { Column, Entity, PrimaryColumn, Unique } from 'typeorm';
import { moment } from '../column-types.js';

@Entity('offering')
@Unique('offering_name_key', ['name'])
export class OfferingEntity {
  @PrimaryColumn('uuid') id!: string;
  @Column('text') name!: string;
  @Column('text') description!: string;
  @Column({ type: 'integer', nullable: true }) chainSize!: number | null;
  @Column(moment) createdAt!: Date;
}
