/**
 * Publishing a backup on secondary. Owns the order of writes:
 *   1. each `.partial` → its final name: `<key>.qcow2`, domain.xml, nvram.fd; fsync of the folder
 *   2. manifest.json.partial, fsync → manifest.json, fsync of the folder, of the VM's folder and of backups/, and a look by the
 *      storage's identity that all of it is on the storage and not under a mount point
 * Until 2 the backup does not exist; after it nothing of it changes any more.
 */
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { manifestSchema, MANIFEST_SCHEMA_VERSION, type Manifest } from '@holdfast/shared/manifest/manifest.js';
import {
  DOMAIN_XML_FILE,
  MANIFEST_FILE,
  NVRAM_FILE,
  PARTIAL_SUFFIX,
  backupFolder,
  vmFolder,
  volumeFile,
} from '@holdfast/shared/manifest/paths.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import { together } from '../shared/together.js';
import type { CopiedVolume } from './copy.js';
import { descriptionFiles } from './describe.js';
import { isOnStorage } from './on-storage.js';
import type { FreezeRecord } from '../shared/take-moment.js';
import type { Preflight } from './preflight.js';

const RETRY_MS = 2_000;

/** Everything that goes into the manifest and is known only now. */
export interface Publication {
  readonly plan: Preflight;
  readonly moment: FreezeRecord & { readonly quiesced: boolean };
  readonly copies: readonly CopiedVolume[];
}

/** Both stages. Returns when the backup exists durably. */
export async function publish(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  root: string,
  facts: Publication,
): Promise<void> {
  const folder = join(root, backupFolder(request.header.vmUuid, request.backupId));
  const names = [...facts.copies.map(({ key }) => volumeFile(key)), ...descriptionFiles(facts.plan)];
  await context.step('publish-files', '', { folder }, () =>
    untilStorageAnswers(ports, request, root, context, async () => {
      // Files that know nothing of each other, made durable by the folder's sync.
      await together(
        context.signal,
        names.map((name) => () => ports.files.rename(join(folder, name) + PARTIAL_SUFFIX, join(folder, name))),
      );
      await ports.files.sync(folder);
      return null;
    }),
  );
  await publishManifest(ports, request, context, root, buildManifest(ports, request, facts));
}

/**
 * The second stage alone. Also for an operation that finds its manifest there without having seen the end of this step: what
 * can be read may still be lost with the power, until the folders are synced.
 */
export async function publishManifest(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  root: string,
  manifest: Manifest,
): Promise<void> {
  const folder = join(root, backupFolder(request.header.vmUuid, request.backupId));
  await context.step('publish-manifest', '', { manifest }, (intent, { repeated }) =>
    untilStorageAnswers(ports, request, root, context, async (again) => {
      const text = `${JSON.stringify(intent.manifest, null, 2)}\n`;
      await writeWhole(ports, join(folder, MANIFEST_FILE), text, repeated || again);
      const folders = [folder, join(root, vmFolder(request.header.vmUuid)), join(root, 'backups')];
      await ports.files.sync(folders);
      if (!(await isOnStorage(ports, request, context))) throw writtenElsewhere(request, folder);
      return null;
    }),
  );
}

/** Every write went well, and none of it is there. */
function writtenElsewhere(request: TakeBackupRequest, folder: string): HoldfastError {
  return new HoldfastError(
    'STORAGE_MISSING',
    `Secondary storage "${request.storage.name}" was taken away while the backup was written: what was written to ${folder} lies under its mount point. Keep the storage mounted, then take the backup again.`,
    { storageId: request.storage.id, path: folder },
  );
}

/**
 * Writes a small file whole: .partial, fsync, rename. Repeating it is harmless: the same bytes come out. `mayBeThere`: this was
 * tried before. The first time the name is free, and the rename says so if it is not.
 */
async function writeWhole(ports: CommandPorts, path: string, text: string, mayBeThere: boolean): Promise<void> {
  if (mayBeThere && (await ports.files.readText(path)) === text) return;
  await ports.files.writeText(path + PARTIAL_SUFFIX, text);
  await ports.files.rename(path + PARTIAL_SUFFIX, path);
}

/**
 * A rename on a storage that hangs may or may not have happened, so nothing can be undone until it answers: wait for it.
 * Every other failure means that the storage said no, and goes on as an error.
 */
async function untilStorageAnswers<T>(
  ports: CommandPorts,
  request: TakeBackupRequest,
  root: string,
  context: StepContext,
  act: (again: boolean) => Promise<T>,
): Promise<T> {
  for (let told = false; ;) {
    try {
      return await act(told);
    } catch (thrown) {
      const error = await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, thrown);
      if (error.code !== 'STORAGE_HANGING' && error.code !== 'TIMED_OUT') throw error;
      if (!told) context.warn(`Secondary storage "${request.storage.name}" did not answer while publishing; waited for it.`);
      told = true;
      await ports.clock.sleep(RETRY_MS);
    }
  }
}

function buildManifest(ports: CommandPorts, request: TakeBackupRequest, { plan, moment, copies }: Publication): Manifest {
  const volumes = plan.volumes.map((volume) => {
    const copy = copies.find((candidate) => candidate.key === volume.key);
    if (copy === undefined) throw new HoldfastError('BUG', `Volume ${volume.key} was not copied.`, { volumeId: volume.key });
    return {
      key: volume.key,
      device: volume.target,
      sizeBytes: copy.sizeBytes,
      virtualSizeBytes: String(volume.virtualSizeBytes),
      file: volumeFile(volume.key),
      ...(copy.parentFile === undefined ? {} : { parentFile: copy.parentFile }),
      format: 'qcow2' as const,
      sourceFormat: volume.sourceFormat,
      digest: copy.digest,
    };
  });
  return manifestSchema.parse({
    schemaVersion: MANIFEST_SCHEMA_VERSION,
    backupId: request.backupId,
    backupName: request.backupName,
    vm: { id: request.header.vmUuid, name: request.header.vmName },
    storageId: request.storage.id,
    frozenAt: new Date(moment.frozenAtUnixMs).toISOString(),
    publishedAt: new Date(ports.clock.now()).toISOString(),
    type: request.type,
    ...(request.parentBackupId === undefined ? {} : { parentBackupId: request.parentBackupId }),
    endOfChain: request.endOfChain,
    isolated: request.isolated,
    quiesced: moment.quiesced,
    volumes,
    ...(plan.nvramPath === undefined ? {} : { nvramFile: NVRAM_FILE }),
    domainXmlFile: DOMAIN_XML_FILE,
    vmSettings: request.vmSettings,
    notes: request.notes,
    writtenBy: {
      program: 'holdfast-agent',
      version: ports.agentVersion,
      host: ports.hostname,
      operationId: request.header.operationId,
    },
  });
}
