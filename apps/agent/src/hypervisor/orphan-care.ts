/**
 * What can be mended of a QEMU that libvirt has lost: its definition names the files that it has open, and it is not left
 * paused. Owns the talk with its monitor. Never ends it, never starts a second one.
 */
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';
import type { Definitions } from './definitions.js';
import type { DomainReader } from './domain-reader.js';
import type { DiskSource } from './domain-xml.js';
import { qemuDiskOf, readQemuDisks, type QueryBlock } from './qemu-block.js';
import type { QemuProcess, QemuProcesses } from './qemu-processes.js';
import { withMonitorSocket, type Qmp } from './qmp.js';

export interface OrphanPorts {
  readonly reader: DomainReader;
  readonly definitions: Definitions;
  readonly processes: QemuProcesses;
  readonly log: Log;
}

/** As Hypervisor.tendOrphan. Nothing happens when no QEMU of that UUID runs, or libvirt manages it. */
export async function tendOrphan(ports: OrphanPorts, uuid: string): Promise<void> {
  const process = (await ports.processes.list()).get(uuid);
  if (process === undefined) return;
  const definition = await ports.reader.definition(uuid);
  if (definition?.current.id !== undefined) return;
  await withOrphan(ports, process, async (qmp) => {
    const persistent = definition?.persistent;
    if (persistent !== undefined) {
      const open = readQemuDisks(await qmp.execute<QueryBlock>('query-block'));
      const sources = persistent.disks.flatMap((disk): DiskSource[] => {
        const top = disk.unsupported === undefined ? qemuDiskOf(disk, open)?.layers[0] : undefined;
        return top?.path === undefined
          ? []
          : [{ target: disk.target, path: top.path, format: top.format === 'qcow2' ? 'qcow2' : 'raw' }];
      });
      await ports.definitions.point(uuid, sources);
    }
    // "paused" alone: other states (I/O error, incoming migration, before the first start) have an owner of their own.
    const { status } = await qmp.execute<{ status: string }>('query-status');
    if (status === 'paused') await qmp.execute('cont');
    ports.log.warn('tended a QEMU that libvirt has lost', { vm: uuid, pid: process.pid, status });
  });
}

/** Talks with the orphan through the one monitor socket that answers with its UUID. */
async function withOrphan(ports: OrphanPorts, process: QemuProcess, work: (qmp: Qmp) => Promise<void>): Promise<void> {
  let last: HoldfastError | undefined;
  for (const path of await ports.processes.monitorSockets(process)) {
    try {
      const done = await withMonitorSocket(path, async (qmp) => {
        const { UUID: uuid } = await qmp.execute<{ UUID: string }>('query-uuid');
        if (uuid.toLowerCase() !== process.uuid) return false;
        await work(qmp);
        return true;
      });
      if (done) return;
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code !== 'HYPERVISOR_UNAVAILABLE') throw error;
      last = error;
    }
  }
  throw new HoldfastError(
    'ORPHANED_QEMU',
    `Process ${process.pid} of VM ${process.name} has no monitor that answers, so its files cannot be asked. Shut the guest down from inside, then start the VM again.`,
    { vmId: process.uuid, pid: String(process.pid) },
    { cause: last },
  );
}
