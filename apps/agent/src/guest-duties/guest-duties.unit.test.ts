import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ObservedDomain, PowerState } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { systemClock, type Clock } from '../clock/clock.js';
import { silentLog } from '../logging/silent-log.js';
import { GuestDuties } from './guest-duties.js';

const vm = '6a9a1a5e-0000-4000-8000-000000000001';
const dirs: string[] = [];
const opened: GuestDuties[] = [];

afterEach(async () => {
  for (const owed of opened.splice(0)) await owed.close();
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** A guest that can be frozen and paused, and whose agent and libvirt can be away. */
class Guest {
  frozen = false;
  state: PowerState = 'running';
  agentAnswers = true;
  libvirtAnswers = true;
  orphaned = false;
  saved = false;
  tended = 0;
  /** QEMU writes to this file, and libvirt does not know it. */
  qemuPath: string | undefined;
  definedPath = 'base';
  /** How bringing QEMU back in step ends. */
  repair = async (): Promise<void> => undefined;
  /** Its answer whether it is frozen arrives after this. */
  answerArrives: (() => Promise<void>) | undefined;

  async freezeStatus(): Promise<'frozen' | 'thawed'> {
    this.needAgent();
    const answer = this.frozen ? 'frozen' : 'thawed';
    await this.answerArrives?.();
    return answer;
  }
  /** Once: it is thawed all the same, as VSS does it. */
  thawIsRefused = false;
  async thaw(): Promise<void> {
    this.needAgent();
    this.frozen = false;
    if (!this.thawIsRefused) return;
    this.thawIsRefused = false;
    throw new HoldfastError('TOOL_FAILED', 'writes could not be held');
  }
  async resume(): Promise<void> {
    this.needLibvirt();
    this.state = 'running';
  }
  async hasSavedState(): Promise<boolean> {
    this.needLibvirt();
    return this.saved;
  }
  async tendOrphan(): Promise<void> {
    this.tended += 1;
    this.orphaned = false;
    this.state = 'running';
  }
  async observe(): Promise<ObservedDomain | undefined> {
    this.needLibvirt();
    const { state, qemuPath = '', definedPath } = this;
    const problems = [
      ...(this.orphaned ? [{ code: 'ORPHANED_QEMU' as const, message: 'lost', fields: {} }] : []),
      ...(qemuPath === '' ? [] : [{ code: 'HYPERVISOR_OUT_OF_STEP' as const, message: '', fields: { target: 'vda', qemuPath } }]),
    ];
    return { state, persistent: true, problems, disks: [{ target: 'vda', definedPath }] } as unknown as ObservedDomain;
  }
  async bringQemuBackInStep(): Promise<string[]> {
    this.needLibvirt();
    await this.repair();
    return [];
  }
  private needAgent(): void {
    this.needLibvirt();
    if (!this.agentAnswers || this.state !== 'running') throw new HoldfastError('TOOL_FAILED', 'no answer');
  }
  private needLibvirt(): void {
    if (!this.libvirtAnswers) throw new HoldfastError('HYPERVISOR_UNAVAILABLE', 'libvirtd is away');
  }
}

/** Waits a fiftieth of what is asked for. */
const clock: Clock = { now: () => 0, sleep: (ms, signal) => systemClock.sleep(ms / 50, signal) };
const patience = (): Promise<void> => systemClock.sleep(100);

async function duties(guest: Guest, dir?: string): Promise<{ duties: GuestDuties; dir: string }> {
  const folder = dir ?? (await mkdtemp(join(tmpdir(), 'duties-')));
  if (dir === undefined) dirs.push(folder);
  const made = new GuestDuties({ dir: folder, hypervisor: guest, clock, log: silentLog });
  opened.push(made);
  return { duties: made, dir: folder };
}

describe('duties to guests', () => {
  it('thaws, and forgets the duty only when the guest says thawed', async () => {
    const guest = new Guest();
    const { duties: owed, dir } = await duties(guest);
    await owed.owe(vm, 'thaw');
    guest.frozen = true;
    guest.agentAnswers = false;
    const done = owed.relieve(vm);
    await patience();
    expect(await readdir(dir)).toEqual([`${vm}.thaw.duty`]);
    guest.agentAnswers = true;
    await done;
    await patience();
    expect(guest.frozen).toBe(false);
    expect(await readdir(dir)).toEqual([]);
  });

  it('tells a guest whose thaw was refused before it was seen thawed, and begins anew with the next duty', async () => {
    const guest = new Guest();
    const { duties: owed } = await duties(guest);
    await owed.owe(vm, 'thaw');
    guest.frozen = true;
    guest.thawIsRefused = true;
    expect(await owed.fulfil(vm, 'thaw', 60_000)).toBe('relieved-late');
    await owed.owe(vm, 'thaw');
    guest.frozen = true;
    expect(await owed.fulfil(vm, 'thaw', 60_000)).toBe('relieved');
  });

  it('goes on after a death with what an earlier life owed', async () => {
    const guest = new Guest();
    const first = await duties(guest);
    await first.duties.owe(vm, 'thaw');
    await first.duties.owe(vm, 'resume');
    guest.frozen = true;
    guest.state = 'paused';
    guest.libvirtAnswers = false;
    const second = await duties(guest, first.dir);
    await second.duties.relieveAll();
    await patience();
    guest.libvirtAnswers = true;
    await patience();
    expect(guest).toMatchObject({ frozen: false, state: 'running' });
    expect(await readdir(first.dir)).toEqual([]);
  });

  it('owes nothing to a guest that is off', async () => {
    const guest = new Guest();
    const { duties: owed, dir } = await duties(guest);
    await owed.owe(vm, 'thaw');
    await owed.owe(vm, 'resume');
    guest.state = 'shut-off';
    expect(await owed.fulfil(vm, 'thaw', 60_000)).toBe('relieved');
    expect(await owed.fulfil(vm, 'resume', 60_000)).toBe('relieved');
    expect(guest.state).toBe('shut-off');
    expect(await readdir(dir)).toEqual([]);
  });

  it('waits for a guest that was saved with its memory, frozen or suspended', async () => {
    const guest = new Guest();
    const { duties: owed, dir } = await duties(guest);
    await owed.owe(vm, 'thaw');
    await owed.owe(vm, 'resume');
    guest.frozen = true;
    guest.state = 'shut-off';
    guest.saved = true;
    await owed.relieveAll();
    await patience();
    expect(await readdir(dir)).toHaveLength(2);
    guest.saved = false;
    guest.state = 'paused';
    await patience();
    await patience();
    expect(guest).toMatchObject({ frozen: false, state: 'running' });
    expect(await readdir(dir)).toEqual([]);
  });

  it('tends a QEMU that libvirt has forgotten while it was suspended', async () => {
    const guest = new Guest();
    const { duties: owed } = await duties(guest);
    await owed.owe(vm, 'resume');
    guest.state = 'paused';
    guest.orphaned = true;
    expect(await owed.fulfil(vm, 'resume', 60_000)).toBe('relieved');
    expect(guest.tended).toBe(1);
  });

  it('keeps what is owed anew while a guest says that it was thawed before', async () => {
    const guest = new Guest();
    const { duties: owed, dir } = await duties(guest);
    await owed.owe(vm, 'thaw');
    let again: Promise<void> | undefined;
    guest.answerArrives = async () => {
      guest.answerArrives = undefined;
      again = owed.owe(vm, 'thaw');
      await patience();
    };
    await owed.fulfil(vm, 'thaw', 60_000);
    await again;
    guest.frozen = true;
    await patience();
    // Its owner has not asked for the thaw yet.
    expect(guest.frozen).toBe(true);
    expect(await readdir(dir)).toEqual([`${vm}.thaw.duty`]);
    expect(await owed.fulfil(vm, 'thaw', 60_000)).toBe('relieved');
    expect(guest.frozen).toBe(false);
    expect(await readdir(dir)).toEqual([]);
  });

  it('leaves a guest to whoever owes it something, and goes on when that ends', async () => {
    const guest = new Guest();
    const { duties: owed, dir } = await duties(guest);
    await owed.owe(vm, 'resume');
    guest.libvirtAnswers = false;
    expect(await owed.fulfil(vm, 'resume', 100)).toBe('owed');
    await owed.owe(vm, 'resume');
    guest.libvirtAnswers = true;
    await patience();
    // Seen running all the time, and suspended only now.
    expect(await readdir(dir)).toEqual([`${vm}.resume.duty`]);
    guest.state = 'paused';
    await patience();
    expect(guest.state).toBe('paused');
    expect(await owed.fulfil(vm, 'resume', 60_000)).toBe('relieved');
    expect(guest.state).toBe('running');
    expect(await readdir(dir)).toEqual([]);
  });

  it('resumes a guest that is out of step only when it was brought back in step', async () => {
    const guest = new Guest();
    const { duties: owed } = await duties(guest);
    await owed.owe(vm, 'resume');
    guest.state = 'paused';
    guest.qemuPath = 'overlay';
    guest.repair = async () => {
      throw new HoldfastError('TOOL_FAILED', 'the commit stands still');
    };
    const done = owed.fulfil(vm, 'resume', 60_000);
    await patience();
    expect(guest.state).toBe('paused');
    guest.repair = async () => {
      guest.qemuPath = undefined;
    };
    expect(await done).toBe('relieved-late');
    expect(guest.state).toBe('running');
  });

  it('resumes a guest that cannot be brought back in step when its definition names what QEMU uses', async () => {
    const guest = new Guest();
    const { duties: owed } = await duties(guest);
    await owed.owe(vm, 'resume');
    guest.state = 'paused';
    guest.qemuPath = 'overlay';
    guest.repair = async () => {
      throw new HoldfastError('CHAIN_UNEXPLAINED', 'QEMU has no file open that libvirt names');
    };
    const done = owed.fulfil(vm, 'resume', 60_000);
    await patience();
    expect(guest.state).toBe('paused');
    guest.definedPath = 'overlay';
    expect(await done).toBe('relieved-late');
    expect(guest.state).toBe('running');
  });

  it('touches no guest to which nothing is owed', async () => {
    const guest = new Guest();
    const { duties: owed } = await duties(guest);
    guest.state = 'paused';
    expect(await owed.fulfil(vm, 'resume', 60_000)).toBe('relieved');
    expect(guest.state).toBe('paused');
  });
});
