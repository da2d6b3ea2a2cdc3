import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { StepContext } from '../../operations/command.js';
import type { CommandPorts } from '../ports.js';
import { switchDefinition, undoSwitch, type SwitchWish } from './switch-definition.js';

const VM = '11111111-1111-4111-8111-111111111111';
const OLD = '/pool/vol.qcow2';
const NEW = '/pool/vol.restored.qcow2';

/** One VM with one disk: what its definition names, and what it runs on. */
class World {
  defined: string | undefined = OLD;
  edits = '';
  running: string | undefined;
  saved = false;
  barrier = false;
  readonly files = new Set([OLD, NEW]);
  readonly locked = new Set<string>();
  readonly done: string[] = [];

  xml(source: string): string {
    return `<domain>${this.edits}<devices><disk type='file'><source file='${source}'/><target dev='vda'/></disk></devices></domain>`;
  }

  readonly ports = {
    hypervisor: {
      definedSources: async () => {
        if (this.defined === undefined) throw new HoldfastError('NOT_FOUND', 'gone');
        return new Map([['vda', this.defined]]);
      },
      domainXml: async () => this.xml(this.defined ?? ''),
      observe: async () => this.observed(),
      hasSavedState: async () => this.saved,
      define: async (xml: string) => {
        expect(this.barrier).toBe(true);
        this.defined = /file='([^']*)'/.exec(xml)?.[1];
        this.done.push(`define ${this.defined}`);
      },
    },
    files: {
      stat: async (path: string) => (this.files.has(path) ? {} : undefined),
      remove: async (path: string) => {
        if (this.files.delete(path)) this.done.push(`remove ${path}`);
      },
    },
    clock: { now: () => 0, sleep: async () => undefined },
    images: { isLocked: async (path: string) => this.locked.has(path) },
    starts: {
      whileSwitching: async <T>(_wish: unknown, act: () => Promise<T>) => {
        this.barrier = true;
        return act().finally(() => (this.barrier = false));
      },
    },
  } as unknown as CommandPorts;

  readonly context = {
    warn: (text: string) => this.done.push(text),
    step: async (_name: string, _subject: string, intent: never, act: (intent: never) => Promise<unknown>) => act(intent),
  } as unknown as StepContext;

  private observed(): ObservedDomain | undefined {
    if (this.defined === undefined) return undefined;
    const path = this.running ?? this.defined;
    const layers = [{ path, format: 'qcow2', inode: 1n, virtualSizeBytes: 1n, allocatedBytes: 1n }];
    const state = this.running === undefined ? 'shut-off' : 'running';
    const disks = [{ target: 'vda', layers, definedPath: this.defined, refusal: undefined }];
    return { uuid: VM, name: 'vm', state, persistent: true, problems: [], disks, snapshots: [] } as unknown as ObservedDomain;
  }
}

const wish: SwitchWish = {
  header: { operationId: 'o', vmUuid: VM, vmName: 'vm', fencingToken: 1n, timeoutSeconds: 0 },
  what: 'restore',
  volumes: [{ target: 'vda', currentPath: OLD, newPath: NEW }],
};
const code = (wanted: string) => expect.objectContaining({ code: wanted });
let world: World;
let xml: { oldXml: string; newXml: string };
beforeEach(() => {
  world = new World();
  xml = { oldXml: world.xml(OLD), newXml: world.xml(NEW) };
});
const switchNow = () => switchDefinition(world.ports, wish, world.context, xml);
const undo = () => undoSwitch(world.ports, wish, world.context, xml.oldXml);

describe('switching a definition', () => {
  it('is one define of a VM that is as it was, and is not repeated', async () => {
    await switchNow();
    await switchNow();
    expect(world.done).toEqual([`define ${NEW}`]);
  });

  it.each<[string, string, () => void]>([
    ['runs', 'VM_RUNNING', () => (world.running = OLD)],
    ['was saved with its memory', 'WRONG_STATE', () => (world.saved = true)],
    ['got another layer (virsh snapshot)', 'PLAN_OUTDATED', () => (world.defined = '/pool/vol.snapshot')],
    ['was edited', 'PLAN_OUTDATED', () => (world.edits = '<memory>2</memory>')],
    ['was undefined', 'PLAN_OUTDATED', () => (world.defined = undefined)],
  ])('leaves a VM alone that %s since it was looked at', async (_what, wanted, change) => {
    change();
    await expect(switchNow()).rejects.toEqual(code(wanted));
    expect(world.done).toEqual([]);
  });

  it('defines a VM that was gone, and leaves one alone that came up meanwhile', async () => {
    const missing = { newXml: xml.newXml, oldXml: undefined };
    await expect(switchDefinition(world.ports, wish, world.context, missing)).rejects.toEqual(code('PLAN_OUTDATED'));
    world.defined = undefined;
    await switchDefinition(world.ports, wish, world.context, missing);
    expect(world.done).toEqual([`define ${NEW}`]);
  });
});

describe('taking a switch back', () => {
  it('defines what was there, then removes the new files', async () => {
    world.defined = NEW;
    await undo();
    expect(world.done).toEqual([`define ${OLD}`, `remove ${NEW}`]);
  });

  it('touches nothing when the VM runs on the new files', async () => {
    world.defined = NEW;
    world.running = NEW;
    await expect(undo()).rejects.toEqual(code('FILE_IN_USE'));
    expect(world.done).toEqual([]);
  });

  it('keeps a file that somebody has open, on whatever host', async () => {
    world.locked.add(NEW);
    await expect(undo()).rejects.toEqual(code('FILE_IN_USE'));
    expect(world.done).toEqual([]);
  });
});
