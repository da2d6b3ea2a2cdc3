/**
 * Asks libvirt for the snapshots that it keeps record of. Owns what is asked, and what was read last for the inventory;
 * cheap for domains without any: those are never asked.
 */
import type { ObservedSnapshot } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { readSnapshot } from './snapshot-facts.js';
import type { Virsh } from './virsh.js';

export class SnapshotReader {
  /** Domain → the list that was read and its records: a record is not changed while its line in the list stays. */
  private known = new Map<string, { list: string; snapshots: readonly ObservedSnapshot[] }>();

  constructor(private readonly virsh: Virsh) {}

  /** The snapshots of one domain, read afresh. */
  async read(uuid: string): Promise<ObservedSnapshot[]> {
    try {
      return await this.readOnce(uuid);
    } catch (thrown) {
      // One that was deleted between the list and its record makes the second look right.
      if (HoldfastError.from(thrown).code !== 'TOOL_FAILED') throw thrown;
      return this.readOnce(uuid);
    }
  }

  /** Those of many domains in one process, their records only where the list has changed. An error stands in the domain's place. */
  async readAll(uuids: readonly string[]): Promise<Map<string, readonly ObservedSnapshot[] | HoldfastError>> {
    const questions = uuids.flatMap((uuid) => [`snapshot-list --domain ${uuid}`, `snapshot-current --name --domain ${uuid}`]);
    const lists = await this.virsh.batch(questions);
    const next = new Map<string, { list: string; snapshots: readonly ObservedSnapshot[] }>();
    const result = new Map<string, readonly ObservedSnapshot[] | HoldfastError>();
    for (const [index, uuid] of uuids.entries()) {
      const list = lists.slice(index * 2, index * 2 + 2).join('\n');
      const before = this.known.get(uuid);
      try {
        // An empty list of a domain that has snapshots was not answered.
        const snapshots = before?.list === list && lists[index * 2] !== '' ? before.snapshots : await this.read(uuid);
        next.set(uuid, { list, snapshots });
        result.set(uuid, snapshots);
      } catch (thrown) {
        result.set(uuid, HoldfastError.from(thrown));
      }
    }
    this.known = next;
    return result;
  }

  private async readOnce(uuid: string): Promise<ObservedSnapshot[]> {
    const names = (await this.virsh.call(['snapshot-list', '--name', '--domain', uuid], { uuid }))
      .split('\n')
      .filter((name) => name !== '');
    if (names.length === 0) return [];
    const current = (await this.virsh.batch([`snapshot-current --name --domain ${uuid}`]))[0];
    return Promise.all(
      names.map(async (name) =>
        readSnapshot(
          await this.virsh.call(['snapshot-dumpxml', '--domain', uuid, '--snapshotname', name], { uuid }),
          name === current,
        ),
      ),
    );
  }
}
