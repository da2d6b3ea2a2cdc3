/** Column kinds that entities share. Owns how bigint and moments stand in PostgreSQL. */
import type { ColumnOptions, ValueTransformer } from 'typeorm';

const bigintTransformer: ValueTransformer = {
  to: (value: bigint | null | undefined) => (value === null || value === undefined ? value : value.toString()),
  from: (value: string | null) => (value === null ? null : BigInt(value)),
};

/** int8 as bigint. */
export const bigintColumn: ColumnOptions = { type: 'bigint', transformer: bigintTransformer };
export const nullableBigint: ColumnOptions = { ...bigintColumn, nullable: true };
export const moment: ColumnOptions = { type: 'timestamptz', precision: 3 };
export const nullableMoment: ColumnOptions = { ...moment, nullable: true };
export const nullableText: ColumnOptions = { type: 'text', nullable: true };
export const nullableUuid: ColumnOptions = { type: 'uuid', nullable: true };
export const nullableJson: ColumnOptions = { type: 'jsonb', nullable: true };
