/**
 * Things can be named by id or by name; this turns either into one resource. Must not guess: an ambiguous name is an error.
 */
import type { Host, Vm, Zone } from '@holdfast/shared/api/inventory.js';
import type { Offering } from '@holdfast/shared/api/offerings.js';
import type { Schedule } from '@holdfast/shared/api/schedules.js';
import type { VmSnapshot } from '@holdfast/shared/api/vm-snapshots.js';
import type { Storage } from '@holdfast/shared/api/storage.js';
import type { Account } from '@holdfast/shared/api/access.js';
import type { Backup } from '@holdfast/shared/api/backups.js';
import { CliError } from '../errors/cli-error.js';
import { printable } from '../output/text.js';
import type { ApiClient, Query } from './api-client.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

interface Kind {
  readonly path: string;
  readonly word: string;
  readonly listCommand: string;
  /** The list can be narrowed to a name by the manager. */
  readonly filterByName?: boolean;
}

const KINDS = {
  zone: { path: '/zones', word: 'zone', listCommand: 'holdfast zone list' },
  host: { path: '/hosts', word: 'host', listCommand: 'holdfast host list' },
  storage: { path: '/secondary-storages', word: 'storage', listCommand: 'holdfast storage list' },
  offering: { path: '/backup-offerings', word: 'offering', listCommand: 'holdfast offering list' },
  vm: { path: '/vms', word: 'VM', listCommand: 'holdfast vm list', filterByName: true },
  account: { path: '/accounts', word: 'account', listCommand: 'holdfast account list' },
  backup: { path: '/backups', word: 'backup', listCommand: 'holdfast backup list' },
  schedule: { path: '/backup-schedules', word: 'schedule', listCommand: 'holdfast schedule list' },
} as const satisfies Record<string, Kind>;

async function resolve<T extends { readonly id: string; readonly name: string }>(
  api: ApiClient,
  kind: Kind,
  nameOrId: string,
  options: { readonly single?: boolean; readonly query?: Query } = {},
): Promise<T> {
  if (UUID.test(nameOrId) && options.single !== false) return api.get<T>(`${kind.path}/${nameOrId.toLowerCase()}`);
  const items = await api.list<T>(kind.path, { ...options.query, ...(kind.filterByName === true ? { name: nameOrId } : {}) });
  const named = items.filter((item) => item.name === nameOrId || item.id === nameOrId.toLowerCase());
  const [first, ...others] = named;
  if (first === undefined)
    throw new CliError('NOT_FOUND', `There is no ${kind.word} "${printable(nameOrId)}". See: ${kind.listCommand}`);
  if (others.length > 0) {
    throw new CliError(
      'INVALID_INPUT',
      `${named.length} ${kind.word}s are named "${printable(nameOrId)}". Give the id of the one you mean: ${named.map((item) => item.id).join(', ')}`,
    );
  }
  return first;
}

/** One function per kind; each throws NOT_FOUND, or INVALID_INPUT naming the ids when a name is not unique. */
export const find = {
  zone: (api: ApiClient, nameOrId: string) => resolve<Zone>(api, KINDS.zone, nameOrId),
  host: (api: ApiClient, nameOrId: string) => resolve<Host>(api, KINDS.host, nameOrId),
  storage: (api: ApiClient, nameOrId: string) => resolve<Storage>(api, KINDS.storage, nameOrId),
  offering: (api: ApiClient, nameOrId: string) => resolve<Offering>(api, KINDS.offering, nameOrId),
  vm: (api: ApiClient, nameOrId: string) => resolve<Vm>(api, KINDS.vm, nameOrId),
  account: (api: ApiClient, nameOrId: string) => resolve<Account>(api, KINDS.account, nameOrId, { single: false }),
  backup: (api: ApiClient, nameOrId: string) => resolve<Backup>(api, KINDS.backup, nameOrId),
  snapshot: findSnapshot,
  schedule: (api: ApiClient, nameOrId: string) => resolve<Schedule>(api, KINDS.schedule, nameOrId),
};

/** By id; by name, or to be sure that it is this VM's, with its VM. */
async function findSnapshot(api: ApiClient, nameOrId: string, vmNameOrId: string | undefined): Promise<VmSnapshot> {
  if (vmNameOrId === undefined) {
    if (UUID.test(nameOrId)) return api.get<VmSnapshot>(`/vm-snapshots/${nameOrId.toLowerCase()}`);
    throw new CliError(
      'INVALID_INPUT',
      `"${printable(nameOrId)}" is no id. Say whose snapshot it is: --vm VM. See: holdfast snapshot list VM`,
    );
  }
  const vm = await find.vm(api, vmNameOrId);
  const { items } = await api.get<{ items: VmSnapshot[] }>(`/vms/${vm.id}/snapshots`);
  const [one, another] = items.filter((item) => item.name === nameOrId || item.id === nameOrId.toLowerCase());
  if (one !== undefined && another === undefined) return one;
  const list = `See: holdfast snapshot list ${vm.id}`;
  if (one === undefined)
    throw new CliError('NOT_FOUND', `The VM ${printable(vm.name)} has no snapshot "${printable(nameOrId)}". ${list}`);
  throw new CliError(
    'INVALID_INPUT',
    `Several snapshots are named "${printable(nameOrId)}". Give the id of the one you mean. ${list}`,
  );
}

/** The zone that is meant when none is named: the only one. Throws INVALID_INPUT when there are none or several. */
export async function zoneOrOnly(api: ApiClient, nameOrId: string | undefined): Promise<Zone> {
  if (nameOrId !== undefined) return find.zone(api, nameOrId);
  const zones = await api.list<Zone>('/zones', {}, 2);
  const [only, another] = zones;
  if (only === undefined) throw new CliError('INVALID_INPUT', 'There is no zone yet. Create one: holdfast zone create NAME');
  if (another !== undefined)
    throw new CliError('INVALID_INPUT', 'There are several zones: say which with --zone NAME. See: holdfast zone list');
  return only;
}
