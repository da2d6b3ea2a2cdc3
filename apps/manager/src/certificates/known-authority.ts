/**
 * Opens the certificate authority that the database knows. Managers of one database must have one authority, because an agent
 * trusts no other; each has it in a data directory of its own, so the database keeps its fingerprint, and a manager that has
 * another one does not start. Must not copy an authority: its key never leaves the data directories.
 */
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ManagerConfig } from '../config/manager-config.js';
import type { Logger } from '../events/logger.js';
import { CertificateAuthorityEntity, ONLY_AUTHORITY } from '../persistence/entities/certificate-authority.entity.js';
import type { Clock } from '../platform/clock.js';
import { CertificateAuthority } from './certificate-authority.js';

export type AuthorityConfig = Pick<ManagerConfig, 'dataDir' | 'lostCertificateAuthority'>;

/**
 * The authority in the data directory; made when neither the directory nor the database has one, or when the one that the database
 * knows was declared lost. CONFIGURATION_INVALID when it is not the database's; then none was made.
 */
export async function openKnownAuthority(
  config: AuthorityConfig,
  dataSource: DataSource,
  clock: Clock,
  logger: Logger,
): Promise<CertificateAuthority> {
  const folder = join(config.dataDir, 'ca');
  const known = await knownFingerprint(dataSource);
  const lost = known !== undefined && known === config.lostCertificateAuthority;
  if (known !== undefined && !lost && !(await CertificateAuthority.isIn(folder))) throw refused(folder, known, undefined);
  const authority = await CertificateAuthority.open(folder, () => clock.now());
  const row = { id: ONLY_AUTHORITY, fingerprint: authority.fingerprint, knownSince: clock.now() };
  // Of managers that start at once with authorities of their own, one is first; the others are refused by what they then read.
  if (known === undefined) {
    await dataSource.createQueryBuilder().insert().into(CertificateAuthorityEntity).values(row).orIgnore().execute();
  } else if (lost && authority.fingerprint !== known) {
    const { affected } = await dataSource.manager.update(CertificateAuthorityEntity, { fingerprint: known }, row);
    if (affected === 1) {
      const fields = { fingerprint: authority.fingerprint, lostFingerprint: known };
      logger.warn('a new certificate authority took the place of the lost one; every host has to join again', fields);
    }
  }
  const decided = await knownFingerprint(dataSource);
  if (decided !== authority.fingerprint) throw refused(folder, decided ?? '', authority.fingerprint);
  return authority;
}

async function knownFingerprint(dataSource: DataSource): Promise<string | undefined> {
  return (await dataSource.manager.findOneBy(CertificateAuthorityEntity, { id: ONLY_AUTHORITY }))?.fingerprint;
}

function refused(folder: string, known: string, own: string | undefined): HoldfastError {
  const here = own === undefined ? `${folder} holds none` : `the one in ${folder} is ${own}`;
  return new HoldfastError(
    'CONFIGURATION_INVALID',
    `The hosts of this database trust the certificate authority ${known}, and ${here}. Copy the folder ca/ of the first manager's data directory to ${folder}, owner and modes included. Only if that authority is lost everywhere, set "lostCertificateAuthority: ${known}" in the configuration: this manager's own then takes its place, and every host has to join again.`,
    { path: folder, knownFingerprint: known, ...(own === undefined ? {} : { fingerprint: own }) },
  );
}
