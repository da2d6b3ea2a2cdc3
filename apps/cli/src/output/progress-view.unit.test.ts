import { Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { operation } from '../testing/samples.js';
import { BarProgress, LineProgress, SilentProgress } from './progress-view.js';

/** A terminal that keeps what is written to it. */
class Screen extends Writable {
  readonly isTTY = true;
  readonly columns = 120;
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

const volume = (target: string, doneBytes: string, totalBytes?: string) => ({
  key: target,
  target,
  phase: 'copy',
  doneBytes,
  totalBytes,
});

describe('progress', () => {
  test('on a terminal is a bar per volume, with steps and notes as lines', () => {
    const screen = new Screen();
    const view = new BarProgress(screen);
    view.show(operation({ progress: [volume('vda', '0', '2097152'), volume('vdb', '1024')] }));
    view.show(
      operation({
        progress: [volume('vda', '1048576', '2097152'), volume('vdb', '2048')],
        steps: [{ name: 'freeze', subject: '', state: 'Running', startedAt: '2026-11-21T10:00:00.000Z' }],
      }),
    );
    view.note('The manager does not answer');
    view.close();
    expect(screen.text).toMatch(/vda copy +\[█+░+\] +50% 1 MiB of 2 MiB/);
    expect(screen.text).toMatch(/vdb copy +\[░+\] +\?% 2 KiB of -/);
    expect(screen.text).toContain('freeze…\n');
    expect(screen.text).toContain('The manager does not answer\n');
  });

  test('elsewhere is a line per change', () => {
    let text = '';
    const view = new LineProgress((line) => (text += line));
    view.show(operation({ progress: [volume('vda', '5', '10')] }));
    view.show(operation({ progress: [volume('vda', '5', '10')] }));
    view.close();
    expect(text).toBe('vda copy 50% (5 B of 10 B)\n');
  });

  test('is nothing for tools', () => {
    const view = new SilentProgress();
    expect(() => {
      view.show();
      view.note();
      view.close();
    }).not.toThrow();
  });
});
