/**
 * What a backup keeps of the VM beside its volumes: domain.xml and the NVRAM, as they were at its moment, under partial names and
 * durable. Nothing here has a final name. Runs beside the copying, so the NVRAM is of the time right after the thaw.
 */
import { join } from 'node:path';
import { DOMAIN_XML_FILE, NVRAM_FILE, PARTIAL_SUFFIX, backupFolder } from '@holdfast/shared/manifest/paths.js';
import type { StepContext } from '../../operations/command.js';
import { readDomain } from '../../hypervisor/domain-facts.js';
import type { CommandPorts } from '../ports.js';
import type { TakeBackupRequest } from '../requests.js';
import { explainStorageFailure } from '../shared/explain-storage-failure.js';
import type { FreezeRecord } from '../shared/take-moment.js';
import { together } from '../shared/together.js';
import type { Preflight } from './preflight.js';

/** Final names of the files that `describe` writes. */
export function descriptionFiles(plan: Preflight): readonly string[] {
  return plan.nvramPath === undefined ? [DOMAIN_XML_FILE] : [DOMAIN_XML_FILE, NVRAM_FILE];
}

/** Writes them; repeated, it writes the same again. */
export async function describe(
  ports: CommandPorts,
  request: TakeBackupRequest,
  context: StepContext,
  root: string,
  { plan, moment }: { readonly plan: Preflight; readonly moment: FreezeRecord },
): Promise<void> {
  const folder = join(root, backupFolder(request.header.vmUuid, request.backupId));
  const { nvramPath } = plan;
  await context.step('describe', '', { folder }, async () => {
    if (readDomain(moment.domainXml).emulatedTpm) {
      context.warn(
        `VM ${request.header.vmName} has an emulated TPM, whose state is no part of a backup. Keep the recovery keys of what the guest seals to it (BitLocker, for example).`,
      );
    }
    try {
      await together(context.signal, [
        () => ports.files.writeText(join(folder, DOMAIN_XML_FILE) + PARTIAL_SUFFIX, moment.domainXml),
        async () => {
          if (nvramPath !== undefined) await ports.files.copyFile(nvramPath, join(folder, NVRAM_FILE) + PARTIAL_SUFFIX);
        },
      ]);
    } catch (thrown) {
      throw await explainStorageFailure(ports, { kind: 'storage', name: request.storage.name, path: root }, thrown);
    }
    return null;
  });
}
