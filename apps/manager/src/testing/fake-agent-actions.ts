/** What the operations of the agent in memory do to its VMs: layers come and go as on a real host. */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { DomainState, type Domain } from '@holdfast/shared/wire/generated/holdfast/agent/v1/domain.js';
import type {
  CompactChainRequest,
  RestoreBackupRequest,
  TakeBackupRequest,
} from '@holdfast/shared/wire/generated/holdfast/agent/v1/host_agent.js';
import type { ChainChanges, Operation } from '@holdfast/shared/wire/generated/holdfast/agent/v1/operation.js';
import type { ReceivedCommand } from './received-command.js';
import { domainOf, layerOf, type FakeAgent } from './fake-agent.js';

type Result = Operation['result'];

/** Does the work and says what came of it. */
export function act(agent: FakeAgent, command: ReceivedCommand): Result {
  switch (command.kind) {
    case 'takeBackup':
      return takeBackup(agent, command.request);
    case 'restoreBackup':
      return restoreBackup(agent, command.request);
    case 'cleanupBackupError': {
      const domain = domainFor(agent, command.request.header?.vmUuid);
      const merged = command.request.volumes.flatMap((volume) => volume.deltaPaths);
      if (!command.request.dryRun) withoutLayers(agent, domain, merged);
      return {
        $case: 'cleanupBackupError',
        value: {
          plan: merged.map((path) => `merge ${path}`),
          planned: merged.map((path) => ({ action: 'merge', target: 'vda', path, into: '', because: '', backupId: '' })),
          activePaths: {},
          changes: gone(merged),
        },
      };
    }
    case 'compactChain':
      return compactChain(agent, command.request);
    case 'releaseFiles':
      return { $case: 'releaseFiles', value: { releasedBytes: BigInt(command.request.paths.length) } };
    case 'deleteBackups': {
      const merged = command.request.volumes.flatMap((volume) => volume.deltaPaths);
      if (merged.length > 0) withoutLayers(agent, domainFor(agent, command.request.header?.vmUuid), merged);
      const expungedBackupIds = command.request.deletions.flatMap(({ backupIds }) => backupIds);
      return {
        $case: 'deleteBackups',
        value: { expungedBackupIds, freedBytes: 1n, changes: gone(merged) },
      };
    }
  }
}

function takeBackup(agent: FakeAgent, request: TakeBackupRequest): Result {
  const domain = domainFor(agent, request.header?.vmUuid);
  const inodes = new Map(request.volumes.map((volume) => [volume.newDeltaPath, agent.newInode()]));
  const disks = domain.disks.map((disk) => {
    const volume = request.volumes.find((candidate) => candidate.target === disk.target);
    if (volume === undefined || disk.layers[0]?.path !== volume.activePath)
      throw new HoldfastError('PLAN_OUTDATED', 'another layer');
    const layers = [layerOf(volume.newDeltaPath, inodes.get(volume.newDeltaPath) ?? 0n), ...disk.layers];
    return { ...disk, layers: layers.filter((layer) => !volume.mergeDeltaPaths.includes(layer.path)) };
  });
  agent.setDomain({ ...domain, disks });
  return {
    $case: 'takeBackup',
    value: {
      volumes: request.volumes.map((volume) => {
        const stays = !volume.mergeDeltaPaths.includes(volume.newDeltaPath);
        return {
          key: volume.key,
          target: volume.target,
          sizeBytes: 1000n,
          virtualSizeBytes: 1_000_000n,
          digest: `blake3:${'0'.repeat(64)}`,
          deltaPath: stays ? volume.newDeltaPath : '',
          deltaInode: stays ? (inodes.get(volume.newDeltaPath) ?? 0n) : 0n,
          activePath: disks.find((disk) => disk.target === volume.target)?.layers[0]?.path ?? '',
          copiedInFull: volume.parentDeltaPath === '',
        };
      }),
      quiesced: false,
      frozenMs: 0,
      frozenAtUnixMs: 1_700_000_000_000n,
      sizeBytes: 2000n,
      changes: gone(request.volumes.flatMap((volume) => volume.mergeDeltaPaths)),
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
    if (volume !== undefined) return { ...disk, layers: [layerOf(volume.newPath, agent.newInode())] };
    const merged = request.mergeVolumes.find((candidate) => candidate.target === disk.target)?.deltaPaths ?? [];
    return { ...disk, layers: disk.layers.filter((layer) => !merged.includes(layer.path)) };
  });
  const added = request.volumes
    .filter((volume) => volume.currentPath === '')
    .flatMap((volume) => domainOf(uuid, '', { [volume.target]: [volume.newPath] }, () => agent.newInode()).disks);
  agent.setDomain({ ...before, disks: [...disks, ...added] });
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
      changes: gone(request.mergeVolumes.flatMap((volume) => volume.deltaPaths)),
    },
  };
}

function gone(paths: readonly string[]): ChainChanges {
  return { removedPaths: [...paths], movedPins: [] };
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

function withoutLayers(agent: FakeAgent, domain: Domain, paths: readonly string[]): void {
  agent.setDomain({
    ...domain,
    disks: domain.disks.map((disk) => ({ ...disk, layers: disk.layers.filter((layer) => !paths.includes(layer.path)) })),
  });
}

function domainFor(agent: FakeAgent, uuid: string | undefined): Domain {
  const domain = agent.domains.get(uuid ?? '');
  if (domain === undefined) throw new HoldfastError('NOT_FOUND', 'no such VM');
  return domain;
}
