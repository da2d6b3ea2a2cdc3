/** Finds hosts and says why one cannot work now. */
import type { EntityManager } from 'typeorm';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { HostEntity } from '../persistence/entities/inventory.entities.js';

/** NOT_FOUND for an id that is none. */
export async function requireHost(manager: EntityManager, hostId: string): Promise<HostEntity> {
  const row = await manager.findOneBy(HostEntity, { id: hostId });
  if (row === null)
    throw new HoldfastError('NOT_FOUND', `There is no host ${hostId}. List the hosts to see their ids.`, { hostId });
  return row;
}

/** HOST_UNAVAILABLE, CERTIFICATE_REFUSED or VERSION_MISMATCH for a host that cannot take work now. */
export function hostProblem(host: HostEntity): HoldfastError | undefined {
  const fields = { hostId: host.id, host: host.name };
  const reason = host.stateReason === null ? '' : ` (${host.stateReason})`;
  switch (host.state) {
    case 'Up':
      break;
    case 'Down':
      if (host.stateCode === 'CERTIFICATE_REFUSED' && host.stateReason !== null)
        return new HoldfastError('CERTIFICATE_REFUSED', host.stateReason, fields);
      return new HoldfastError(
        'HOST_UNAVAILABLE',
        `The host "${host.name}" does not answer${reason}. Start its agent (systemctl start holdfast-agent) or mend the network, then try again.`,
        fields,
      );
    case 'Incompatible':
      return new HoldfastError(
        'VERSION_MISMATCH',
        `The agent on host "${host.name}" does not fit this manager${reason}. Install the same version of Holdfast on both.`,
        fields,
      );
  }
  if (!host.enabled) {
    return new HoldfastError(
      'HOST_UNAVAILABLE',
      `The host "${host.name}" is disabled and gets no new work. Enable it first.`,
      fields,
    );
  }
  return undefined;
}

/** The first host of a zone that can take work; undefined when none can. */
export async function findUpHost(manager: EntityManager, zoneId: string): Promise<HostEntity | null> {
  return manager.findOne(HostEntity, { where: { zoneId, state: 'Up', enabled: true }, order: { name: 'ASC' } });
}
