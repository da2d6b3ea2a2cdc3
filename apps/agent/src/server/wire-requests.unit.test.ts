import { describe, expect, it } from '@jest/globals';
import {
  TakeBackupRequest,
  RestoreBackupRequest,
  ReleaseFilesRequest,
  DeleteVmSnapshotsRequest,
  RevertVmSnapshotRequest,
  TakeVmSnapshotRequest,
  CompactChainRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import { BackupType, Quiesce } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import {
  compactChainRequest,
  deleteVmSnapshotsRequest,
  operationId,
  releaseFilesRequest,
  restoreBackupRequest,
  revertVmSnapshotRequest,
  storageSpec,
  takeBackupRequest,
  takeVmSnapshotRequest,
  vmUuids,
} from './wire-requests.js';

const A = '0000000a-0000-4000-8000-00000000000a';
const B = '0000000b-0000-4000-8000-00000000000b';
const header = {
  operationId: A.toUpperCase(),
  vmUuid: '11111111-1111-1111-1111-111111111111',
  vmName: 'the "vm"\nof é',
  fencingToken: 3n,
  timeoutSeconds: 60,
};
const storage = { id: A, name: 's', type: 'nfs4', source: 'server:/export', options: 'ro' };
const volume = {
  key: A,
  target: 'vda',
  activePath: '/pool/a b.qcow2',
  newDeltaPath: '/pool/d',
  parentDeltaPath: '',
  parentDeltaInode: 0n,
  mergeDeltaPaths: [],
  templatePath: '',
  pins: [],
};
const request = TakeBackupRequest.fromPartial({
  header,
  storage,
  backupId: A,
  backupName: 'b',
  type: BackupType.BACKUP_TYPE_FULL,
  quiesce: Quiesce.QUIESCE_TRY,
  freezeBudgetMs: 10_000,
  volumes: [volume],
  manifestNotes: { reason: 'first' },
});

describe('requests from the wire', () => {
  it('become our own types: absent is undefined, ids have one form, names stay as they are', () => {
    expect(takeBackupRequest(request)).toMatchObject({
      header: { operationId: A, vmName: 'the "vm"\nof é', fencingToken: 3n },
      type: 'FULL',
      parentBackupId: undefined,
      quiesce: 'try',
      coroutines: 1,
      notes: { reason: 'first' },
      volumes: [
        {
          key: A,
          activePath: '/pool/a b.qcow2',
          parentDeltaPath: undefined,
          parentDeltaInode: undefined,
          templatePath: undefined,
        },
      ],
    });
    expect(
      restoreBackupRequest(
        RestoreBackupRequest.fromPartial({
          header,
          storage,
          backupId: A,
          volumes: [{ key: A, target: 'vda', newPath: '/pool/n' }],
        }),
      ),
    ).toMatchObject({
      defineMissingAs: undefined,
      volumes: [{ currentPath: undefined }],
    });
    expect(operationId(A.toUpperCase())).toBe(A);
    expect(storageSpec(storage)).toEqual(storage);
    const odd = { ...storage, source: `//h/a b'"$(x);|&\\ü`, options: `user=a b,password='"$x` };
    expect(storageSpec(odd)).toEqual(odd);
  });

  it.each([
    ['header', { header: undefined }],
    ['header.vmUuid', { header: { ...header, vmUuid: 'x' } }],
    ['backupId', { backupId: '../../etc' }],
    ['type', { type: BackupType.BACKUP_TYPE_UNSPECIFIED }],
    ['quiesce', { quiesce: Quiesce.QUIESCE_UNSPECIFIED }],
    ['parentBackupId', { type: BackupType.BACKUP_TYPE_INCREMENTAL }],
    ['volumes', { volumes: [] }],
    ['volumes.0.key', { volumes: [{ ...volume, key: '..' }] }],
    ['volumes.0.target', { volumes: [{ ...volume, target: 'vda --pivot' }] }],
    ['volumes.0.activePath', { volumes: [{ ...volume, activePath: 'pool/a' }] }],
    ['volumes.0.newDeltaPath', { volumes: [{ ...volume, newDeltaPath: '/pool/a\nb' }] }],
    ['volumes.0.parentDeltaInode', { volumes: [{ ...volume, parentDeltaPath: '/pool/p' }] }],
    ['volumes.1.key', { volumes: [volume, { ...volume, target: 'vdb' }] }],
    ['volumes.1.target', { volumes: [volume, { ...volume, key: B }] }],
    ['coroutines', { coroutines: 99 }],
    ['storage.type', { storage: { ...storage, type: '--bind' } }],
    ['storage.source', { storage: { ...storage, type: 'dir' } }],
    ['storage.source', { storage: { ...storage, source: 'server:/a\nb' } }],
    ['storage.source', { storage: { ...storage, source: 'server:/a\0b' } }],
    ['storage.options', { storage: { ...storage, options: 'ro\nrw' } }],
    ['storage.options', { storage: { ...storage, options: 'ro\0' } }],
  ])('are refused with the name of the field: %s', (field, wrong) => {
    expect(() => takeBackupRequest({ ...request, ...wrong } as TakeBackupRequest)).toThrow(
      expect.objectContaining({ code: 'INVALID_INPUT', fields: { field } }),
    );
  });

  it('refuse ids and paths that are none', () => {
    expect(() => operationId('')).toThrow(expect.objectContaining({ fields: { field: 'operationId' } }));
    expect(() => vmUuids(['-c'])).toThrow(expect.objectContaining({ fields: { field: 'uuids.0' } }));
    expect(() => storageSpec(undefined)).toThrow(expect.objectContaining({ fields: { field: 'storage' } }));
    expect(() => releaseFilesRequest(ReleaseFilesRequest.fromPartial({ header, paths: ['/a\0b'] }))).toThrow(
      expect.objectContaining({ fields: { field: 'paths.0' } }),
    );
  });

  it('about VM snapshots are mapped, and refused with the name of the field', () => {
    const taken = { key: A, target: 'vda', activePath: '/pool/a', newOverlayPath: '/pool/o' };
    const take = { header, volumes: [taken], quiesce: Quiesce.QUIESCE_REQUIRE, freezeBudgetMs: 5 };
    expect(takeVmSnapshotRequest(TakeVmSnapshotRequest.fromPartial(take))).toMatchObject({
      volumes: [taken],
      quiesce: 'require',
    });
    const settle = { target: 'vda', deltaPaths: ['/pool/o'], pins: [{ snapshotId: B, path: '/pool/a' }] };
    const reverted = { key: A, target: 'vda', currentPath: '/pool/o', pinnedPath: '/pool/a', newOverlayPath: '/pool/r', settle };
    const revert = (volume: object) =>
      revertVmSnapshotRequest(RevertVmSnapshotRequest.fromPartial({ header, volumes: [{ ...reverted, ...volume }] }));
    expect(revert({})).toMatchObject({ volumes: [{ ...reverted, settle: { ...settle, templatePath: undefined } }] });
    const wrong = (field: string) => expect.objectContaining({ code: 'INVALID_INPUT', fields: { field } }) as unknown as Error;
    expect(() => takeVmSnapshotRequest(TakeVmSnapshotRequest.fromPartial({ ...take, volumes: [] }))).toThrow(wrong('volumes'));
    expect(() => takeVmSnapshotRequest(TakeVmSnapshotRequest.fromPartial({ ...take, volumes: [taken, taken] }))).toThrow(
      wrong('volumes.1.key'),
    );
    expect(() => revert({ settle: undefined })).toThrow(wrong('volumes.0.settle'));
    expect(() => revert({ settle: { ...settle, target: 'vdb' } })).toThrow(wrong('volumes.0.settle.target'));
    const names = (libvirtSnapshotNames: string[]) =>
      deleteVmSnapshotsRequest(DeleteVmSnapshotsRequest.fromPartial({ header, volumes: [settle], libvirtSnapshotNames }));
    expect(names(['a "b"'])).toMatchObject({ volumes: [settle], libvirtSnapshotNames: ['a "b"'] });
    expect(() => names([''])).toThrow(wrong('libvirtSnapshotNames.0'));
  });

  it('takes a compaction of two different backups, without a limit when none is given', () => {
    const given = { header, storage, absorbedBackupId: A, childBackupId: B, bytesPerSecond: 0n };
    expect(compactChainRequest(CompactChainRequest.fromPartial(given)).bytesPerSecond).toBeUndefined();
    expect(compactChainRequest(CompactChainRequest.fromPartial({ ...given, bytesPerSecond: 9n })).bytesPerSecond).toBe(9n);
    expect(() => compactChainRequest(CompactChainRequest.fromPartial({ ...given, childBackupId: A }))).toThrow(
      expect.objectContaining({ fields: { field: 'childBackupId' } }),
    );
  });
});
