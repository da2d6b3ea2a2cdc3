/** The row of the certificate authority that the hosts trust: one at most. Its key is in data directories, never here. */
import { Check, Column, Entity, PrimaryColumn } from 'typeorm';
import { moment } from '../column-types.js';

/** The id of the only row. */
export const ONLY_AUTHORITY = 1;

@Entity('certificate_authority')
@Check('certificate_authority_one_check', `id = ${ONLY_AUTHORITY}`)
export class CertificateAuthorityEntity {
  @PrimaryColumn('smallint') id!: number;
  /** SHA-256 of the certificate (DER), hex. */
  @Column('text') fingerprint!: string;
  @Column(moment) knownSince!: Date;
}
