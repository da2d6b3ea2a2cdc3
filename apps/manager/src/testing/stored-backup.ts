/** What a survey of a storage shows of backups that the fake agent took: the real one would have written them there. */
import { randomUUID } from 'node:crypto';
import type { Backup } from '@holdfast/shared/api/backups.js';
import type { SurveyedEntry } from '@holdfast/shared/wire/generated/holdfast/agent/v1/survey.js';

/** A file below backups/, unless `more` says that it is something else. */
export function storedEntry(path: string, more: Partial<SurveyedEntry> = {}): SurveyedEntry {
  return { path, directory: false, sizeBytes: 1000n, allocatedBytes: 4096n, disks: [], problem: '', ...more };
}

/** The folder of a backup, whole. `change`: of its manifest. */
export function storedBackup(one: Backup, change: object = {}): SurveyedEntry[] {
  const at = `backups/${one.vmId}/${one.id}`;
  const volumes = one.volumes.map(({ key, target, parentFile }) => ({
    ...{ key, device: target, sizeBytes: '1000', virtualSizeBytes: '1000000', file: `${key}.qcow2`, format: 'qcow2' },
    ...(parentFile === undefined ? {} : { parentFile }),
    ...{ sourceFormat: 'qcow2', digest: `blake3:${'0'.repeat(64)}` },
  }));
  const manifest = {
    ...{ schemaVersion: 1, backupId: one.id, backupName: one.name, vm: { id: one.vmId, name: one.vmName } },
    ...{ storageId: one.storageId, frozenAt: '2026-01-01T00:00:00Z', publishedAt: '2026-01-01T00:00:00Z' },
    ...{ type: one.type, volumes, ...(one.parentId === undefined ? {} : { parentBackupId: one.parentId }) },
    ...{ endOfChain: false, isolated: false, quiesced: false, domainXmlFile: 'domain.xml', vmSettings: {}, notes: {} },
    writtenBy: { program: 'holdfast-agent', version: '1', host: 'h', operationId: randomUUID() },
    ...change,
  };
  const disks = volumes.map(({ device }) => ({ target: device, serial: '', path: `/pool/${device}.${one.id}.hf.qcow2` }));
  return [
    storedEntry(at, { directory: true }),
    storedEntry(`${at}/manifest.json`, { manifest: JSON.stringify(manifest) }),
    storedEntry(`${at}/domain.xml`, { disks }),
    ...manifest.volumes.map(({ file, parentFile }) => storedEntry(`${at}/${file}`, { backingName: parentFile ?? '' })),
  ];
}
