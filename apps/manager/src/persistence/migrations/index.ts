/** All migrations, in order. A migration that was released is never edited. */
import { FirstTables1763700000001 } from './0001-first-tables.js';
import { Deletion1763700000002 } from './0002-deletion.js';
import { Schedules1763700000003 } from './0003-schedules.js';
import { VmSnapshots1763700000004 } from './0004-vm-snapshots.js';
import { PlannedChanges1763700000007 } from './0007-planned-changes.js';
import { HostNames1763700000008 } from './0008-host-names.js';
import { CertificateAuthority1763700000009 } from './0009-certificate-authority.js';
import { HostStateCodes1763700000010 } from './0010-host-state-codes.js';
import { ReleasedByName1763700000011 } from './0011-released-by-name.js';

export const MIGRATIONS = [
  FirstTables1763700000001,
  Deletion1763700000002,
  Schedules1763700000003,
  VmSnapshots1763700000004,
  PlannedChanges1763700000007,
  HostNames1763700000008,
  CertificateAuthority1763700000009,
  HostStateCodes1763700000010,
  ReleasedByName1763700000011,
];
