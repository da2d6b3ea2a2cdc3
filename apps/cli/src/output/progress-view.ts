/**
 * Shows a running operation: a bar per volume on a terminal, plain lines elsewhere, nothing for tools.
 * Writes to the error stream only, so that standard output stays the result. Must not fetch.
 */
import cliProgress from 'cli-progress';
import type { Operation } from '@holdfast/shared/api/operations.js';
import { changesBetween, percentOf } from './operation-text.js';
import { bytes, printable } from './text.js';

export interface ProgressView {
  show(operation: Operation): void;
  /** A sentence beside the progress: the connection was lost, Ctrl-C was pressed. */
  note(text: string): void;
  close(): void;
}

/** A line per change. */
export class LineProgress implements ProgressView {
  private before: Operation | undefined;

  constructor(private readonly write: (text: string) => void) {}

  show(operation: Operation): void {
    for (const line of changesBetween(this.before, operation)) this.write(`${line}\n`);
    this.before = operation;
  }

  note(text: string): void {
    this.write(`${text}\n`);
  }

  close(): void {
    this.before = undefined;
  }
}

/** Bars for the volumes, with the plain lines of steps above them. */
export class BarProgress implements ProgressView {
  private before: Operation | undefined;
  private readonly bars = new Map<string, cliProgress.SingleBar>();
  private readonly all: cliProgress.MultiBar;

  constructor(stream: NodeJS.WritableStream) {
    this.all = new cliProgress.MultiBar(
      {
        stream,
        format: '{target} {phase} [{bar}] {share} {size}',
        hideCursor: true,
        emptyOnZero: true,
        forceRedraw: true,
        barsize: 30,
      },
      cliProgress.Presets.shades_classic,
    );
  }

  show(operation: Operation): void {
    // Bars show the volumes themselves; lines are for everything else.
    for (const line of changesBetween(this.before, { ...operation, progress: [] })) this.note(line);
    this.before = operation;
    for (const volume of operation.progress) {
      const percent = percentOf(volume);
      const payload = {
        target: printable(volume.target),
        phase: volume.phase.padEnd(6),
        share: percent === undefined ? '  ?%' : `${String(percent).padStart(3)}%`,
        size: `${bytes(volume.doneBytes)} of ${bytes(volume.totalBytes)}`,
      };
      const bar = this.bars.get(volume.key);
      if (bar === undefined) this.bars.set(volume.key, this.all.create(100, percent ?? 0, payload));
      else bar.update(percent ?? 0, payload);
    }
    this.all.update();
  }

  note(text: string): void {
    this.all.log(`${text}\n`);
    this.all.update();
  }

  close(): void {
    this.all.stop();
  }
}

/** For --output json: a tool reads the result alone. */
export class SilentProgress implements ProgressView {
  show(): void {}
  note(): void {}
  close(): void {}
}
