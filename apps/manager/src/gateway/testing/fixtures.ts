/** Rows that tests of the doors start from: two accounts with keys, a zone, a host that is down, VMs, a backup. */
import { randomUUID } from 'node:crypto';
import type { INestApplication } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Caller } from '../../access/caller.js';
import { AccountsService } from '../../accounts/accounts.service.js';
import { OfferingsService } from '../../offerings/offerings.service.js';
import { BackupEntity } from '../../persistence/entities/backup.entities.js';
import { HostEntity, ZoneEntity } from '../../persistence/entities/inventory.entities.js';
import { StorageEntity } from '../../persistence/entities/storage.entity.js';
import { VmEntity } from '../../persistence/entities/vm.entities.js';

export interface Fixtures {
  readonly adminKey: string;
  /** Of the account that owns the VM `mine`. */
  readonly userKey: string;
  readonly zoneId: string;
  readonly storageId: string;
  readonly hostId: string;
  readonly offeringId: string;
  /** A running VM of the user. */
  readonly mine: string;
  /** A stopped VM without an owner. */
  readonly others: string;
  /** Of `mine` and of `others`. */
  readonly myBackup: string;
  readonly othersBackup: string;
}

const NOW = new Date();

export async function makeFixtures(app: INestApplication): Promise<Fixtures> {
  const manager = app.get(DataSource).manager;
  const accounts = app.get(AccountsService);
  let adminKey = '';
  await accounts.createFirstKey((secret) => Promise.resolve(void (adminKey = secret)));
  const admin: Caller = await accounts.authenticate(adminKey);
  const account = await accounts.createAccount(admin, { name: 'shop' });
  const { secret: userKey } = await accounts.createApiKey(admin, { name: 'shop', role: 'user', accountId: account.id });
  const offering = await app.get(OfferingsService).create(admin, { name: 'gold', description: '', chainSize: 3 });

  const [zoneId, hostId, storageId] = [randomUUID(), randomUUID(), randomUUID()];
  await manager.insert(ZoneEntity, { id: zoneId, name: 'berlin', createdAt: NOW });
  await manager.insert(HostEntity, {
    id: hostId,
    zoneId,
    name: 'kvm-1',
    address: '127.0.0.1:1',
    state: 'Down',
    stateReason: 'it does not answer',
    enabled: true,
    primaryPools: [],
    maxConcurrentOperations: 0,
    createdAt: NOW,
  });
  await manager.insert(StorageEntity, {
    id: storageId,
    zoneId,
    name: 'nas',
    type: 'dir',
    source: '/mnt/nas',
    options: '',
    readOnly: false,
    createdAt: NOW,
  });

  const addVm = async (name: string, accountId: string | null, powerState: VmEntity['powerState']): Promise<string> => {
    const id = randomUUID();
    const common = { protectionState: 'Ok' as const, guestAgent: false, problems: [], settings: {}, offeringId: offering.id };
    await manager.insert(VmEntity, { id, zoneId, hostId, name, accountId, powerState, ...common });
    return id;
  };
  const addBackup = async (vmId: string, accountId: string | null): Promise<string> => {
    const id = randomUUID();
    const kind = {
      state: 'BackedUp' as const,
      type: 'FULL' as const,
      isolated: false,
      endOfChain: false,
      quiesce: 'no' as const,
    };
    await manager.insert(BackupEntity, {
      id,
      vmId,
      vmName: 'vm',
      accountId,
      name: 'b1',
      description: '',
      ...kind,
      storageId,
      storageReason: 'the only one',
      warnings: [],
      createdAt: NOW,
    });
    return id;
  };
  const mine = await addVm(`it's "web"; $(x)`, account.id, 'Running');
  const others = await addVm('db-1', null, 'Stopped');
  return {
    adminKey,
    userKey,
    zoneId,
    storageId,
    hostId,
    offeringId: offering.id,
    mine,
    others,
    myBackup: await addBackup(mine, account.id),
    othersBackup: await addBackup(others, null),
  };
}
