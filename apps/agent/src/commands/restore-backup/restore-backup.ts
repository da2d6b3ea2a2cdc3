/**
 * RestoreBackup. Owns the order of its steps:
 *
 *   preflight → read-backup, with the header of every file → restore (volumes in parallel) beside verify (every file that is read)
 *   → switch (one define) → [point of no return] → deltas of volumes that the backup does not know are merged → finish
 *
 * Invariants: no existing file is written, renamed or deleted; until the define the VM is as before, after it as restored; no file is
 * read that the manifests do not give, also where damage is accepted.
 */
import { join } from 'node:path';
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import { backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import type { Command, Outcome, StepContext, VmOutcomeName } from '../../operations/command.js';
import { askedAtOnce } from '../../process/asked-at-once.js';
import type { CommandPorts } from '../ports.js';
import type { RestoreBackupRequest, RestoreBackupResult } from '../requests.js';
import { mergeOrPostpone } from '../merge/merge-or-postpone.js';
import { readDomain } from '../../hypervisor/domain-facts.js';
import { bigintJson } from '../shared/bigint-json.js';
import { copyWhole } from '../shared/copy-whole.js';
import { demandBacking } from '../shared/demand-backing.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { chainPaths, observeSettled, withHypervisor } from '../shared/observe-settled.js';
import { damageBehind } from '../shared/find-damage.js';
import { demandNoSavedState } from '../shared/saved-state.js';
import { demandUnchangedDisks } from '../shared/demand-unchanged-disks.js';
import { demandPrimarySpace } from '../shared/primary-space.js';
import { readBackup, type BackupFile, type ReadBackup } from '../shared/read-backup.js';
import { switchDefinition, undoSwitch } from '../shared/switch-definition.js';
import { together } from '../shared/together.js';
import { restoreVolume, verifyFile } from './restore-volume.js';
import { restoredXml } from './restored-xml.js';

const PRIMARY_SLACK_BYTES = 16n << 20n;

export function restoreBackupCommand(ports: CommandPorts): Command<RestoreBackupRequest, RestoreBackupResult> {
  return {
    kind: 'RestoreBackup',
    codec: bigintJson<RestoreBackupRequest>(),
    resultCodec: bigintJson<RestoreBackupResult>(),
    relieve: (request) => ports.duties.relieve(request.header.vmUuid),
    run: (request, context) => run(ports, request, context),
    undo: (request, context) => undo(ports, request, context),
  };
}

async function run(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
): Promise<Outcome<RestoreBackupResult>> {
  const { vmUuid, operationId } = request.header;
  const old = await context.step('preflight', '', {}, async () => oldPaths(request, await preflight(ports, request, context)));
  if (!context.pastPointOfNoReturn) {
    await restoreAndSwitch(ports, request, context);
    await context.pointOfNoReturn();
  }
  await ports.storages.release(request.storage.id, operationId);
  const { pending, changes } = await mergeOrPostpone(ports, context, vmUuid, request.mergeVolumes);
  const volumes = request.volumes.map(({ key, target, newPath }) => ({ key, target, newPath, oldPaths: old[key] ?? [] }));
  return { result: { volumes, changes }, vmOutcome: pending ? 'MergePending' : 'AsAfter' };
}

async function preflight(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
): Promise<ObservedDomain | undefined> {
  const { vmUuid, vmName } = request.header;
  const domain = await observeSettled(ports, vmUuid, context.log);
  if (domain === undefined) {
    if (request.defineMissingAs !== undefined) return undefined;
    throw new HoldfastError('NOT_FOUND', `libvirt on ${ports.hostname} does not know the VM ${vmName}.`, { vmId: vmUuid });
  }
  if (domain.state !== 'shut-off') {
    throw new HoldfastError('VM_RUNNING', `VM ${domain.name} is running. Stop it (virsh shutdown), then restore again.`, {
      vmId: vmUuid,
    });
  }
  demandUnchangedDisks(domain, request.volumes);
  await demandNoSavedState(ports, domain);
  for (const { newPath } of request.volumes) {
    if ((await ports.files.stat(newPath)) !== undefined) {
      throw new HoldfastError('PLAN_OUTDATED', `The new file ${newPath} exists already.`, { path: newPath });
    }
  }
  return domain;
}

/** Volume key → the layers that it uses now and that are its own: what the restore leaves behind. */
function oldPaths(request: RestoreBackupRequest, domain: ObservedDomain | undefined): Record<string, string[]> {
  const entries = request.volumes.map((volume) => {
    const disk = domain?.disks.find((candidate) => candidate.target === volume.target && volume.currentPath !== undefined);
    const chain = disk ? chainPaths(disk) : [];
    const template = volume.templatePath === undefined ? -1 : chain.indexOf(volume.templatePath);
    return [volume.key, template === -1 ? chain : chain.slice(0, template)] as const;
  });
  return Object.fromEntries(entries);
}

async function restoreAndSwitch(ports: CommandPorts, request: RestoreBackupRequest, context: StepContext): Promise<void> {
  const { vmUuid, operationId } = request.header;
  const { root } = await ports.storages.acquire(request.storage, operationId, 'read');
  const backup = await readBackup(ports, root, vmUuid, request.backupId);
  for (const volume of request.volumes) {
    if (!backup.files.has(volume.key)) {
      throw new HoldfastError('NOT_FOUND', `Backup ${request.backupId} holds no volume ${volume.key}.`, {
        backupId: request.backupId,
        volumeId: volume.key,
      });
    }
  }
  await demandHeaders(ports, request, backup, root);
  await checkPrimarySpace(ports, request, backup, context);
  await restoreAndVerify(ports, request, context, backup, root);
  const oldXml = await withHypervisor(ports, () => ports.hypervisor.domainXml(vmUuid, 'persistent')).catch((thrown: unknown) => {
    if (HoldfastError.from(thrown).code === 'NOT_FOUND') return undefined;
    throw thrown;
  });
  if (oldXml === undefined) await restoreFirmwareState(ports, request, context, backup, root);
  const wish = { newXml: restoredXml(request, backup, oldXml), ...(oldXml === undefined ? {} : { oldXml }) };
  await context.step('switch', '', wish, async (intent) => {
    await switchDefinition(ports, { ...request, what: 'restore' }, context, { oldXml: intent.oldXml, newXml: intent.newXml });
    return null;
  });
}

/** A VM that is gone gets its NVRAM back with its definition, and no TPM; those of one that exists are its own. */
async function restoreFirmwareState(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  backup: ReadBackup,
  root: string,
): Promise<void> {
  const { nvramFile } = backup.manifest;
  const { nvramPath: path, emulatedTpm } = readDomain(backup.domainXml);
  if (emulatedTpm) {
    context.warn(
      `VM ${request.header.vmName} has an emulated TPM, whose state is no part of the backup. Unless this host still has it, it begins empty, and the guest wants the recovery keys of what it has sealed to it.`,
    );
  }
  if (nvramFile === undefined || path === undefined) return;
  const from = join(root, backupFolder(request.header.vmUuid, request.backupId), nvramFile);
  await context.step('restore-nvram', '', { from, path }, async (intent) => {
    await copyWhole(ports, intent.from, intent.path);
    return null;
  });
}

async function checkPrimarySpace(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  backup: ReadBackup,
  context: StepContext,
): Promise<void> {
  const files = request.volumes
    .filter((volume) => context.recorded('restore', volume.key) === undefined)
    .map(({ key, newPath }) => ({
      path: newPath,
      bytes: (backup.files.get(key) ?? []).reduce((sum, file) => sum + file.sizeBytes, PRIMARY_SLACK_BYTES),
    }));
  await demandPrimarySpace(
    ports,
    files,
    (needed) => `this restore may need ${needed}. Make room (release files of earlier restores), then try again.`,
  );
}

/** Where each file leads is looked at before qemu-img opens the first of them. BACKUP_DAMAGED, or why its storage cannot say. */
async function demandHeaders(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  backup: ReadBackup,
  root: string,
): Promise<void> {
  const look = async (chain: readonly BackupFile[]): Promise<void> => {
    for (const file of chain) await demandBacking(ports, file);
  };
  const chains = request.volumes.map(({ key }) => backup.files.get(key) ?? []);
  try {
    await askedAtOnce(chains.map(look));
  } catch (thrown) {
    const error = await damageBehind(ports, chains.flat(), thrown);
    throw await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, error);
  }
}

/** Copies and digests at once; the first failure stops everything before it is thrown. */
async function restoreAndVerify(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
  backup: ReadBackup,
  root: string,
): Promise<void> {
  const files = request.volumes.flatMap((volume) => backup.files.get(volume.key) ?? []);
  const work = together(context.signal, [
    ...request.volumes.map(
      (volume) => (signal: AbortSignal) =>
        restoreVolume(ports, request, context, volume, backup.files.get(volume.key) ?? [], root, signal),
    ),
    ...files.map((file) => (signal: AbortSignal) => verifyFile(ports, request, context, file, root, signal)),
  ]);
  await work.catch(async (thrown: unknown) => {
    throw await damageBehind(ports, files, thrown);
  });
}

/** The VM keeps its old disks; the new files go, once nothing refers to them. */
async function undo(
  ports: CommandPorts,
  request: RestoreBackupRequest,
  context: StepContext,
): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
  const { operationId } = request.header;
  const intent = context.recorded('switch')?.intent as { oldXml?: string } | undefined;
  const begun = request.volumes.filter((volume) => context.recorded('restore', volume.key) !== undefined);
  await undoSwitch(ports, { header: request.header, what: 'restore', volumes: begun }, context, intent?.oldXml);
  await ports.storages.release(request.storage.id, operationId);
  return { vmOutcome: 'AsBefore' };
}
