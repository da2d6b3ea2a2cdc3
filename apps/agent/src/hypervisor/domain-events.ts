/**
 * Wake-ups from libvirt: one long-lived `virsh event --all --loop`. A hint says "look now" and nothing more: events get lost,
 * a snapshot sends none, and the listener dies with libvirtd. Polling stays the truth.
 */
import { execa } from 'execa';
import type { Log } from '../logging/log.js';
import { killGroup } from '../process/kill-group.js';

/** A listener that lived this long was connected; the next one is started at once. */
const HEALTHY_MS = 10_000;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export class DomainEvents {
  private readonly hear: (() => void)[] = [];
  private pid: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private stopped = true;
  private pauseMs = FIRST_PAUSE_MS;

  constructor(private readonly ports: { uri: string; log: Log }) {}

  /** Called for every event, and whenever the listener ended or came back: what happened in between is unknown. */
  onHint(callback: () => void): void {
    this.hear.push(callback);
  }

  /** Begins to listen; survives restarts of libvirtd by itself. */
  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.listen();
  }

  /** Ends the listener and its process. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    killGroup(this.pid);
  }

  private listen(): void {
    const began = performance.now();
    const child = execa('virsh', ['-q', '-c', this.ports.uri, 'event', '--all', '--loop'], {
      detached: true,
      cleanup: true,
      reject: false,
      buffer: false,
      stdin: 'ignore',
      stderr: 'ignore',
      env: { LC_ALL: 'C' },
    });
    this.pid = child.pid;
    child.stdout?.on('data', () => this.hint());
    this.hint();
    const ended = () => {
      this.pid = undefined;
      if (this.stopped) return;
      this.hint();
      if (performance.now() - began > HEALTHY_MS) this.pauseMs = FIRST_PAUSE_MS;
      this.ports.log.debug('the event listener ended, starting another', { pauseMs: this.pauseMs });
      this.timer = setTimeout(() => this.listen(), this.pauseMs);
      this.timer.unref();
      this.pauseMs = Math.min(this.pauseMs * 2, LONGEST_PAUSE_MS);
    };
    child.then(ended, ended);
  }

  private hint(): void {
    for (const callback of this.hear) callback();
  }
}
