/** What the operations of the agent in memory do to its VMs: layers come and go as on a real host. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { DomainState, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type {
  CompactChainRequest,
  DeleteVmSnapshotsRequest,
  RestoreBackupRequest,
  RevertVmSnapshotRequest,
  TakeBackupRequest,
  TakeVmSnapshotRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type { Operation } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { ReceivedCommand } from './received-command.js';
import { domainOf, layerOf, type FakeAgent } from './fake-agent.js';
import { noChanges } from './fake-chains.js';

type Result = Operation['result'];

/** Does the work and says what came of it. */
export function act(agent: FakeAgent, command: ReceivedCommand): Result {
  switch (command.kind) {
    case 'takeBackup':
      return takeBackup(agent, command.request);
    case 'restoreBackup':
      return restoreBackup(agent, command.request);
    case 'cleanupBackupError': {
      const { dryRun, volumes, header } = command.request;
      const domain = domainFor(agent, header?.vmUuid);
      const named = volumes.flatMap((volume) => volume.deltaPaths);
      const plan = named.map((path) => `merge ${path}`);
      const planned = named.map((path) => ({ action: 'merge', target: 'vda', path, into: '', because: '', backupId: '' }));
      const changes = dryRun ? noChanges() : settle(agent, domain, volumes);
      return { $case: 'cleanupBackupError', value: { plan, planned, activePaths: {}, changes, published: [] } };
    }
    case 'compactChain':
      return compactChain(agent, command.request);
    case 'releaseFiles':
      return { $case: 'releaseFiles', value: { releasedBytes: BigInt(command.request.paths.length) } };
    case 'deleteBackups': {
      const { deletions, volumes, header } = command.request;
      const changes = volumes.length === 0 ? noChanges() : settle(agent, domainFor(agent, header?.vmUuid), volumes);
      const expungedBackupIds = deletions.flatMap(({ backupIds }) => backupIds);
      return { $case: 'deleteBackups', value: { expungedBackupIds, freedBytes: 1n, changes } };
    }
    case 'takeVmSnapshot':
      return takeVmSnapshot(agent, command.request);
    case 'revertVmSnapshot':
      return revertVmSnapshot(agent, command.request);
    case 'deleteVmSnapshots':
      return deleteVmSnapshots(agent, command.request);
  }
}

/** Lets go what may go, and shows the VM as it is then. */
function settle(agent: FakeAgent, before: Domain, volumes: Parameters<FakeAgent['chains']['settle']>[1]) {
  const { domain, changes } = agent.chains.settle(before, volumes);
  agent.setDomain(domain);
  return changes;
}

/** Puts a new overlay on the active layer of each of these disks. PLAN_OUTDATED when another layer is active. */
function putOverlays(
  agent: FakeAgent,
  domain: Domain,
  volumes: readonly { readonly target: string; readonly activePath: string; readonly path: string }[],
): Domain {
  for (const volume of volumes) {
    const disk = domain.disks.find((candidate) => candidate.target === volume.target);
    if (disk?.layers[0]?.path !== volume.activePath) throw new HoldfastError('PLAN_OUTDATED', 'another layer');
  }
  for (const { path, activePath } of volumes) agent.chains.add(layerOf(path, agent.newInode()), activePath);
  const disks = domain.disks.map((disk) => {
    const volume = volumes.find(({ target }) => target === disk.target);
    return volume === undefined ? disk : agent.chains.withActive(disk, volume.path);
  });
  return { ...domain, disks };
}

function inodeOf(agent: FakeAgent, path: string): bigint {
  return agent.chains.files.get(path)?.layer.inode ?? 0n;
}

function takeBackup(agent: FakeAgent, request: TakeBackupRequest): Result {
  const before = domainFor(agent, request.header?.vmUuid);
  if (before.disks.some((disk) => !request.volumes.some(({ target }) => target === disk.target)))
    throw new HoldfastError('PLAN_OUTDATED', 'another disk');
  const frozen = putOverlays(
    agent,
    before,
    request.volumes.map(({ target, activePath, newDeltaPath }) => ({ target, activePath, path: newDeltaPath })),
  );
  const inodes = new Map(request.volumes.map(({ newDeltaPath }) => [newDeltaPath, inodeOf(agent, newDeltaPath)]));
  const wishes = request.volumes.map(({ target, mergeDeltaPaths, pins, templatePath }) => ({
    target,
    deltaPaths: mergeDeltaPaths,
    pins,
    templatePath,
  }));
  const changes = settle(agent, frozen, wishes);
  const after = domainFor(agent, request.header?.vmUuid);
  return {
    $case: 'takeBackup',
    value: {
      volumes: request.volumes.map(({ key, target, newDeltaPath, parentDeltaPath }) => {
        const stays = !changes.removedPaths.includes(newDeltaPath);
        return {
          key,
          target,
          sizeBytes: 1000n,
          virtualSizeBytes: 1_000_000n,
          digest: `blake3:${'0'.repeat(64)}`,
          deltaPath: stays ? newDeltaPath : '',
          deltaInode: stays ? (inodes.get(newDeltaPath) ?? 0n) : 0n,
          activePath: after.disks.find((disk) => disk.target === target)?.layers[0]?.path ?? '',
          copiedInFull: parentDeltaPath === '',
        };
      }),
      quiesced: false,
      frozenMs: 0,
      frozenAtUnixMs: 1_700_000_000_000n,
      sizeBytes: 2000n,
      changes,
    },
  };
}

function restoreBackup(agent: FakeAgent, request: RestoreBackupRequest): Result {
  const uuid = request.header?.vmUuid ?? '';
  const before = agent.domains.get(uuid) ?? {
    ...domainOf(uuid, request.defineMissingAs, {}, () => agent.newInode()),
    state: DomainState.DOMAIN_STATE_SHUT_OFF,
  };
  const disks = before.disks.map((disk) => {
    const volume = request.volumes.find((candidate) => candidate.target === disk.target);
    return volume === undefined ? disk : { ...disk, layers: [layerOf(volume.newPath, agent.newInode())] };
  });
  const added = request.volumes
    .filter((volume) => volume.currentPath === '')
    .flatMap((volume) => domainOf(uuid, '', { [volume.target]: [volume.newPath] }, () => agent.newInode()).disks);
  agent.setDomain({ ...before, disks: [...disks, ...added] });
  const changes = settle(agent, domainFor(agent, uuid), request.mergeVolumes);
  return {
    $case: 'restoreBackup',
    value: {
      volumes: request.volumes.map((volume) => ({
        key: volume.key,
        target: volume.target,
        newPath: volume.newPath,
        oldPaths: (before.disks.find((disk) => disk.target === volume.target)?.layers ?? [])
          .map((layer) => layer.path)
          .filter((path) => path !== volume.templatePath),
      })),
      changes,
    },
  };
}

function takeVmSnapshot(agent: FakeAgent, request: TakeVmSnapshotRequest): Result {
  const overlays = request.volumes.map(({ target, activePath, newOverlayPath }) => ({
    target,
    activePath,
    path: newOverlayPath,
  }));
  agent.setDomain(putOverlays(agent, domainFor(agent, request.header?.vmUuid), overlays));
  return {
    $case: 'takeVmSnapshot',
    value: {
      volumes: request.volumes.map(({ key, target, activePath, newOverlayPath }) => ({
        key,
        target,
        pinnedPath: activePath,
        overlayPath: newOverlayPath,
        overlayInode: inodeOf(agent, newOverlayPath),
      })),
      quiesced: false,
      frozenMs: 0,
      frozenAtUnixMs: 1_700_000_000_000n,
    },
  };
}

/** The agent in memory keeps no files: it knows the child by the command that took it. */
function compactChain(agent: FakeAgent, { childBackupId }: CompactChainRequest): Result {
  const taken = agent.accepted.find((one) => one.kind === 'takeBackup' && one.request.backupId === childBackupId);
  if (taken?.kind !== 'takeBackup') throw new HoldfastError('BACKUP_DAMAGED', 'no such backup');
  const volumes = taken.request.volumes.map(({ key }) => ({ key, sizeBytes: 5000n, digest: `blake3:${'c'.repeat(64)}` }));
  return {
    $case: 'compactChain',
    value: { volumes, sizeBytes: 5000n * BigInt(volumes.length), freedBytes: 1000n },
  };
}

function revertVmSnapshot(agent: FakeAgent, request: RevertVmSnapshotRequest): Result {
  const domain = domainFor(agent, request.header?.vmUuid);
  if (domain.state !== DomainState.DOMAIN_STATE_SHUT_OFF) throw new HoldfastError('VM_RUNNING', 'it runs');
  for (const { newOverlayPath, pinnedPath } of request.volumes)
    agent.chains.add(layerOf(newOverlayPath, agent.newInode()), pinnedPath);
  const disks = domain.disks.map((disk) => {
    const volume = request.volumes.find(({ target }) => target === disk.target);
    return volume === undefined ? disk : agent.chains.withActive(disk, volume.newOverlayPath);
  });
  const settled = request.volumes.flatMap(({ settle: wish }) => (wish === undefined ? [] : [wish]));
  const changes = settle(agent, { ...domain, disks }, settled);
  return {
    $case: 'revertVmSnapshot',
    value: {
      volumes: request.volumes.map(({ key, target, newOverlayPath }) => ({
        key,
        target,
        overlayPath: newOverlayPath,
        overlayInode: inodeOf(agent, newOverlayPath),
      })),
      changes,
    },
  };
}

function deleteVmSnapshots(agent: FakeAgent, request: DeleteVmSnapshotsRequest): Result {
  const domain = domainFor(agent, request.header?.vmUuid);
  const snapshots = domain.snapshots.filter(({ name }) => !request.libvirtSnapshotNames.includes(name));
  const changes = settle(agent, { ...domain, snapshots }, request.volumes);
  return { $case: 'deleteVmSnapshots', value: { changes } };
}

function domainFor(agent: FakeAgent, uuid: string | undefined): Domain {
  const domain = agent.domains.get(uuid ?? '');
  if (domain === undefined) throw new HoldfastError('NOT_FOUND', 'no such VM');
  return domain;
}
