import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ObservedDomain } from '@holdfast/shared/chain/observed-domain.js';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Hypervisor } from '../hypervisor/hypervisor.js';
import { silentLog } from '../logging/silent-log.js';
import { guardedHypervisor } from './guarded-hypervisor.js';
import { LookOnHints } from './look-on-hints.js';
import { StartGuard } from './start-guard.js';

const UUID = '8d1c0f4e-2f0a-4c7e-9c5b-0123456789ab';
const BASE = '/p/vol.qcow2';
const D1 = '/p/vol.11111111-1111-4111-8111-111111111111.hf.qcow2';
const D2 = '/p/vol.22222222-2222-4222-8222-222222222222.hf.qcow2';
const XML = (path: string): string =>
  `<domain><name>n</name><uuid>${UUID}</uuid><devices><disk type='file'><source file='${path}'/><target dev='vda'/></disk></devices></domain>`;

describe('StartGuard', () => {
  let dir: string;
  let there: Set<string>;
  let guard: StartGuard;
  let seen: ObservedDomain | undefined;
  let during: () => void = () => undefined;
  let broken = false;
  const newGuard = (): StartGuard =>
    new StartGuard({
      dir,
      files: {
        stat: async (path) => {
          if (broken) throw new Error('it hangs');
          return there.has(path) ? ({ kind: 'file' } as never) : undefined;
        },
      },
      log: silentLog,
    });
  const libvirt = {
    observe: async () => {
      const now = seen;
      during();
      return now;
    },
    observeAll: async () => (seen ? [seen] : []),
    define: async () => undefined,
    pivot: async () => undefined,
    snapshotDisks: async () => undefined,
    definedSources: async () => new Map([['vda', BASE]]),
    tendOrphan: async () => undefined,
  } as unknown as Hypervisor;
  const look = async (state: string, ...paths: string[]): Promise<string> => {
    seen = { uuid: UUID, state, disks: [{ layers: paths.map((path) => ({ path })) }] } as unknown as ObservedDomain;
    await guardedHypervisor(libvirt, guard).observe(UUID);
    return written();
  };
  const written = async (): Promise<string> => {
    await guard.settled();
    return readFile(join(dir, UUID), 'utf8').catch(() => '');
  };
  const line = (stale: string, right: string): string => `layer\t${stale}\t${right}\n`;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-guard-'));
    there = new Set([BASE, D1, D2]);
    during = () => undefined;
    broken = false;
    guard = newGuard();
    await guard.recover([]);
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('writes what every look shows, keeps it over a restart, and drops what is gone', async () => {
    expect(await look('running', D1, BASE)).toBe(`holdfast-start-guard 1\n${line(BASE, D1)}`);
    guard = newGuard();
    expect(await look('shut-off', BASE)).toContain(line(BASE, D1));
    expect(await look('running', D2, D1, BASE)).toBe(`holdfast-start-guard 1\n${line(BASE, D2)}${line(D1, D2)}`);
    there.delete(D1);
    expect(await look('running', D2, BASE)).toBe(`holdfast-start-guard 1\n${line(BASE, D2)}${line(D1, D2)}`);
    expect(await look('running', BASE)).toBe('');
  });

  it('lets a stale layer be right again once the layer over it is gone', async () => {
    await look('shut-off', D1, BASE);
    expect(await look('shut-off', BASE)).not.toBe('');
    there.delete(D1);
    expect(await look('shut-off', BASE)).toBe('');
  });

  it('calls right what Holdfast itself defines, and what an orphan uses', async () => {
    await look('shut-off', D1, BASE);
    await guardedHypervisor(libvirt, guard).define(XML(BASE));
    expect(await written()).toBe('');
    await look('shut-off', D1, BASE);
    await guardedHypervisor(libvirt, guard).tendOrphan(UUID);
    expect(await written()).toBe('');
  });

  it('does not believe a look that a change of its own overtook', async () => {
    during = () => guard.changed(UUID);
    expect(await look('running', D1, BASE)).toBe('');
    during = () => undefined;
    expect(await look('running', D1, BASE)).not.toBe('');
  });

  describe('for a VM on another host', () => {
    const elsewhere = async (
      layers: string[],
      more: { planned?: string[]; certain?: boolean; token?: bigint } = {},
    ): Promise<string> => {
      const { planned = [], certain = true, token = 1n } = more;
      await guard.elsewhere([{ vmUuid: UUID, fencingToken: token, volumes: [{ layers, planned, certain }] }]);
      return told();
    };
    const told = async (): Promise<string> => {
      await guard.settled();
      return readFile(join(dir, `${UUID}.elsewhere`), 'utf8').catch(() => '');
    };

    it('writes what it is told, keeps it over a restart and over looks at the definition that was left here', async () => {
      const planned = `holdfast-start-guard 1\n${line(BASE, D1)}`;
      there.delete(D1);
      expect(await elsewhere([BASE], { planned: [D1] })).toBe(planned);
      await look('shut-off', BASE);
      guard = newGuard();
      await look('shut-off', BASE);
      expect(await told()).toBe(planned);
      there.add(D1);
      expect(await elsewhere([BASE], { certain: false })).toBe(planned);
      expect(await elsewhere([D1, BASE])).toBe(planned);
    });

    it('is ended by the VM running here, or being pointed somewhere here', async () => {
      await elsewhere([D1, BASE]);
      expect(await look('running', D1, BASE)).toContain(line(BASE, D1));
      expect(await told()).toBe('');
      await elsewhere([D1, BASE]);
      await guardedHypervisor(libvirt, guard).define(XML(BASE));
      expect(await told()).toBe('');
    });

    it('is not ended by a look that began before', async () => {
      during = () => void elsewhere([D1, BASE]);
      await look('running', BASE);
      expect(await told()).toContain(line(BASE, D1));
    });

    it('does not believe what comes after something newer', async () => {
      const newer = await elsewhere([BASE], { planned: [D1], token: 8n });
      expect(await elsewhere([BASE], { token: 7n })).toBe(newer);
      expect(await elsewhere([BASE], { token: 8n })).toBe('');
    });

    it('calls right what certainly is right there, also against what was seen here', async () => {
      await look('running', D1, BASE);
      await elsewhere([BASE], { certain: false });
      expect(await written()).toContain(line(BASE, D1));
      await elsewhere([BASE]);
      expect(await written()).toBe('');
    });

    it('takes nothing back while a storage cannot be asked', async () => {
      const known = await elsewhere([D1, BASE]);
      broken = true;
      expect(await elsewhere([BASE], { certain: false })).toBe(known);
    });
  });

  it('marks a switch for as long as it lasts', async () => {
    const wish = { vmUuid: UUID, vmName: 'vm', operationId: 'o-1', doing: 'being restored' };
    const inside = await guard.whileSwitching(wish, () => readFile(join(dir, `${UUID}.switching`), 'utf8'));
    expect(inside).toMatch(/^o-1\nVM vm is being restored \(operation o-1\)/);
    await expect(guard.whileSwitching(wish, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await readdir(dir)).toEqual([]);
  });

  it('takes away what a dead agent left, unless its operation goes on; then when that ends', async () => {
    await writeFile(join(dir, 'a.switching'), 'o-1\nwhy\n');
    await writeFile(join(dir, 'b.switching'), 'o-2\nwhy\n');
    await newGuard().recover(['o-2']);
    expect(await readdir(dir)).toEqual(['b.switching']);
    await guard.operationEnded('o-1');
    expect(await readdir(dir)).toEqual(['b.switching']);
    await guard.operationEnded('o-2');
    expect(await readdir(dir)).toEqual([]);
  });

  it('never stands in the way: what it cannot write is only told', async () => {
    await rm(dir, { recursive: true });
    await guardedHypervisor(libvirt, guard).define(XML(BASE));
    expect(await guard.whileSwitching({ vmUuid: UUID, vmName: '', operationId: '', doing: '' }, async () => 7)).toBe(7);
    expect(await look('running', D1, BASE)).toBe('');
  });

  it('looks after a hint, unless somebody else did', async () => {
    let wake: () => void = () => undefined;
    const clock = { now: () => 0, sleep: () => new Promise<void>((resolve) => (wake = resolve)) };
    seen = { uuid: UUID, state: 'running', disks: [] } as unknown as ObservedDomain;
    const hypervisor = guardedHypervisor(libvirt, guard);
    const hints = new LookOnHints({ hypervisor, guard, clock });
    const waited = async (): Promise<void> => {
      wake();
      await new Promise(setImmediate);
    };
    hints.hint();
    hints.hint();
    await waited();
    expect(guard.timesSeenAll).toBe(1);
    hints.hint();
    await hypervisor.observeAll();
    await waited();
    expect(guard.timesSeenAll).toBe(2);
  });
});
