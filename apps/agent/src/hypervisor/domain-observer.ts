/**
 * Makes the plain observation of a domain: libvirt's word, QEMU's word, image headers and processes put together.
 * Owns the looking; comparing (`observe.ts`), refusing (`disk-refusals.ts`) and putting together (`assemble-domain.ts`) are pure.
 * Changes nothing.
 */
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ObservedDomain, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ChainWish, ImageTool } from '../images/image-tool.js';
import type { FileLooks } from '../looks/file-looks.js';
import { isInsideRoots } from '../looks/inside-roots.js';
import { shares } from '../looks/shares.js';
import { assemble, observedDisk, unknownOrphan, unreadable } from './assemble-domain.js';
import { ChainCache, storageHangs } from './chain-cache.js';
import {
  isReadable,
  openLayers,
  outside,
  refusable,
  sourceOf,
  unexplained,
  type Layers,
  type OpenLayer,
} from './disk-refusals.js';
import type { DomainReader } from './domain-reader.js';
import { compareDisks, movedAway, type DiskStanding, type Known } from './observe.js';
import type { QemuDisk } from './qemu-block.js';
import type { QemuProcess, QemuProcesses } from './qemu-processes.js';

/** A mismatch is believed when it is still there after this: a job that just ended changes QEMU first and libvirt after. */
const SECOND_LOOK_MS = 300;

export interface ObserverPorts {
  readonly looks: FileLooks;
  readonly images: ImageTool;
  readonly reader: DomainReader;
  readonly processes: QemuProcesses;
  readonly allowedRoots: () => readonly string[];
}

export class DomainObserver {
  private readonly cache: ChainCache;

  constructor(private readonly ports: ObserverPorts) {
    this.cache = new ChainCache(ports.looks, ports.images);
  }

  /** As Hypervisor.observe. */
  async observe(uuid: string): Promise<ObservedDomain | undefined> {
    const first = await this.look(uuid);
    if (first === undefined || !isDoubtful(first)) return first;
    await sleep(SECOND_LOOK_MS);
    return this.look(uuid);
  }

  /** As Hypervisor.observeAll. Running disks are taken from QEMU's own answer, stopped ones from the cache of headers. */
  async observeAll(): Promise<ObservedDomain[]> {
    const known = await this.ports.reader.knownAll();
    const processes = await this.ports.processes.list();
    const readable = [...known.values()].filter((one): one is Known => !('error' in one));
    const standings = new Map(readable.map((one) => [one, compareDisks(one)]));
    const stopped = readable.filter((one) => one.qemu === undefined).flatMap((one) => one.current.disks.filter(isReadable));
    const chains = await this.cache.chains(stopped.map(sourceOf), this.ports.allowedRoots());
    const live = await this.liveLayers(readable);
    const observed: ObservedDomain[] = [];
    for (const [uuid, one] of known) {
      const process = processes.get(uuid);
      if (!('error' in one) && process === undefined && movedAway(one.state)) continue;
      if ('error' in one) {
        observed.push(unreadable(one.definition, one.error, process));
        continue;
      }
      const disks = (standings.get(one) ?? []).filter(isAttached).map((standing) => {
        const layers = one.qemu === undefined ? chains.get(standing.disk.path ?? '') : live.get(standing.qemu);
        return observedDisk(one, standing, layers ?? []);
      });
      observed.push(assemble(one, standings.get(one) ?? [], disks, process));
    }
    for (const process of processes.values()) {
      if (!known.has(process.uuid) && (await this.isLost(process))) observed.push(unknownOrphan(process));
    }
    return observed;
  }

  private async look(uuid: string): Promise<ObservedDomain | undefined> {
    const known = await this.ports.reader.known(uuid);
    const process = (await this.ports.processes.list()).get(uuid);
    if (known === undefined) return process !== undefined && (await this.isLost(process)) ? unknownOrphan(process) : undefined;
    if (process === undefined && movedAway(known.state)) return undefined;
    const standings = compareDisks(known);
    const attached = standings.filter(isAttached);
    const layers = await this.layersOf(known, attached);
    const disks = attached.map((standing, index) => observedDisk(known, standing, layers[index] ?? []));
    return assemble(known, standings, disks, process);
  }

  /**
   * Of each disk by the headers, from the file that is really in use; of a running disk the result must be what QEMU has
   * open. What a disk is refused for stands in its place; none for a disk that cannot be read.
   */
  private async layersOf(known: Known, standings: readonly DiskStanding[]): Promise<(Layers | Error)[]> {
    const answers: (Layers | Error)[] = standings.map(() => []);
    const asked: { index: number; wish: ChainWish; open: readonly OpenLayer[] | undefined }[] = [];
    for (const [index, { disk, qemu }] of standings.entries()) {
      if (!isReadable(disk)) continue;
      if (known.qemu === undefined) {
        asked.push({ index, wish: sourceOf(disk), open: undefined });
        continue;
      }
      try {
        const open = openLayers(known.current, disk, qemu);
        const [top, ...below] = open;
        if (top === undefined) continue;
        asked.push({ index, wish: { ...top, expected: below.map((layer) => layer.path), held: true }, open });
      } catch (thrown) {
        answers[index] = refusable(thrown);
      }
    }
    const chains = await this.ports.images.chains(
      asked.map(({ wish }) => wish),
      this.ports.allowedRoots(),
    );
    for (const [at, { index, open }] of asked.entries()) {
      const layers = chains[at] ?? [];
      const standing = standings[index];
      if (layers instanceof Error) answers[index] = refusable(layers);
      else if (open === undefined || standing === undefined || (await this.areSame(layers, open))) answers[index] = layers;
      else answers[index] = unexplained(known.current, standing.disk, layers, open);
    }
    return answers;
  }

  /** The chain by its headers is what QEMU has open, under the same names or others. */
  private async areSame(layers: Layers, open: readonly OpenLayer[]): Promise<boolean> {
    if (layers.length !== open.length) return false;
    const others = open.filter((layer, index) => layer.path !== layers[index]?.path);
    if (others.length === 0) return true;
    const { facts } = await this.cache.look(others.map((layer) => layer.path));
    return open.every(({ path }, index) => layers[index]?.path === path || facts.get(path)?.inode === layers[index]?.inode);
  }

  /** Layers of all running disks from QEMU's answers, their inodes and places in two calls for all of them. */
  private async liveLayers(known: readonly Known[]): Promise<Map<QemuDisk | undefined, Layers | Error>> {
    const result = new Map<QemuDisk | undefined, Layers | Error>();
    const disks = known.flatMap((one) => one.qemu ?? []);
    const paths = [...new Set(disks.flatMap((disk) => disk.layers.flatMap((layer) => layer.path ?? [])))];
    const { facts, silent } = await this.cache.look(paths);
    const answering = paths.filter((path) => !silent.has(dirname(path)));
    const roots = this.ports.allowedRoots();
    const real = new Map<string, string>();
    for (const share of shares(answering)) {
      (await this.ports.looks.realPaths(share)).forEach((path, index) => real.set(share[index] ?? '', path));
    }
    for (const one of known) {
      for (const { disk, qemu } of compareDisks(one)) {
        if (qemu === undefined || !isReadable(disk)) continue;
        try {
          const layers: ObservedLayer[] = [];
          for (const layer of openLayers(one.current, disk, qemu)) {
            const place = real.get(layer.path);
            if (place === undefined) throw storageHangs(layer.path);
            if (!(await isInsideRoots(this.ports.looks, place, roots))) throw outside(one.current, disk, layer.path);
            layers.push({ ...layer, inode: facts.get(layer.path)?.inode ?? 0n });
          }
          result.set(qemu, layers);
        } catch (thrown) {
          result.set(qemu, HoldfastError.from(thrown));
        }
      }
    }
    return result;
  }

  /** A QEMU that libvirt does not know now may be one that it is just starting or ending: look twice. */
  private async isLost(process: QemuProcess): Promise<boolean> {
    await sleep(SECOND_LOOK_MS);
    const still = (await this.ports.processes.list()).get(process.uuid)?.runId === process.runId;
    return still && !(await this.ports.reader.list()).all.includes(process.uuid);
  }
}

function isDoubtful(domain: ObservedDomain): boolean {
  return (
    domain.problems.some(({ code }) => code === 'HYPERVISOR_OUT_OF_STEP' || code === 'ORPHANED_QEMU') ||
    domain.disks.some(({ refusal }) => refusal?.code === 'CHAIN_UNEXPLAINED')
  );
}

function isAttached({ attached }: DiskStanding): boolean {
  return attached;
}
