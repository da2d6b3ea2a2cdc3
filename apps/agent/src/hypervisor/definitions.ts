/**
 * Reading and writing persistent definitions through virsh. Owns the temporary file that `virsh define` needs (it cannot read
 * a pipe that is a socket). A definition may hold secrets: it is never logged.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { diskSources, replaceDiskSources, type DiskSource } from './domain-xml.js';
import { samePath } from './observe.js';
import type { Virsh } from './virsh.js';

export class Definitions {
  constructor(private readonly virsh: Virsh) {}

  /** The persistent definition as it must be given to `define` again: with its secrets. NOT_FOUND. */
  persistent(uuid: string): Promise<string> {
    return this.virsh.read(['dumpxml', '--inactive', '--security-info', '--domain', uuid], { uuid });
  }

  live(uuid: string): Promise<string> {
    return this.virsh.read(['dumpxml', '--domain', uuid], { uuid });
  }

  async define(xml: string): Promise<void> {
    await this.withFile(xml, (path) => this.virsh.call(['define', '--file', path]));
  }

  /** Points disks of the persistent definition at these files, unless it does so already, and looks at what came of it. */
  async point(uuid: string, sources: readonly DiskSource[]): Promise<void> {
    const before = await this.persistent(uuid);
    if (sources.every((source) => samePath(diskSources(before).get(source.target), source.path))) return;
    await this.define(replaceDiskSources(before, sources));
    const after = diskSources(await this.persistent(uuid));
    for (const { target, path } of sources) {
      if (samePath(after.get(target), path)) continue;
      throw new HoldfastError(
        'TOOL_FAILED',
        `libvirt took the definition of VM ${uuid}, but disk ${target} still starts from ${after.get(target)}.`,
        {
          tool: 'virsh',
          vmId: uuid,
          target,
          path,
        },
      );
    }
  }

  /** Gives `work` a private file with this text, gone afterwards. */
  async withFile<T>(text: string, work: (path: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-xml-'));
    try {
      const path = join(folder, 'definition.xml');
      await writeFile(path, text, { mode: 0o600 });
      return await work(path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}
