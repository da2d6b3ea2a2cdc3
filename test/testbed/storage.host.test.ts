/** Proves that the storages of the test bed fail in the way they are told to, seen from inside a host that runs already. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { access } from 'node:fs/promises';
import { cleanTestbed, removePiece } from './cleanup.js';
import { TestHost } from './test-host.js';
import { TestStorage } from './test-storage.js';
import { runPath } from './work-dir.js';

describe('storages of a test host', () => {
  let host: TestHost;

  beforeAll(async () => {
    host = await TestHost.create({ name: 'storage-host' });
  });

  afterAll(async () => {
    await removePiece(runPath('storage-small'));
    await removePiece(runPath('storage-slow'));
    await host?.destroy();
  });

  /** Writes a durable mebibyte inside the host. */
  async function write(storage: TestStorage, name: string, timeoutMs = 60_000) {
    return host.run(['dd', 'if=/dev/zero', `of=${storage.path}/${name}`, 'bs=1M', 'count=1', 'conv=fsync'], { timeoutMs });
  }

  it('fills up, goes read-only, vanishes and comes back', async () => {
    const storage = await TestStorage.create({ name: 'storage-small', kind: 'filesystem', sizeMiB: 64 });
    expect((await write(storage, 'a')).exitCode).toBe(0);
    await storage.fill();
    expect((await write(storage, 'b')).stderr).toContain('No space left');
    await storage.unfill();
    expect((await write(storage, 'b')).exitCode).toBe(0);
    await storage.remountReadOnly();
    expect((await write(storage, 'c')).stderr).toContain('Read-only file system');
    await storage.remountReadWrite();
    await storage.vanish();
    expect((await host.run(['ls', storage.path])).stdout).toBe('');
    await storage.reappear();
    expect((await host.run(['ls', storage.path])).stdout).toContain('a\nb\n');
    await storage.destroy();
  });

  it('slows down, hangs, goes on and breaks', async () => {
    const storage = await TestStorage.create({ name: 'storage-slow', kind: 'slow', sizeMiB: 64 });
    await storage.throttle(512 * 1024);
    const started = Date.now();
    expect((await write(storage, 'a')).exitCode).toBe(0);
    expect(Date.now() - started).toBeGreaterThan(500);
    await storage.throttle(0);
    await storage.hang();
    expect((await write(storage, 'b', 1_000)).timedOut).toBe(true);
    await storage.resume();
    expect((await write(storage, 'c')).exitCode).toBe(0);
    await storage.breakDevice();
    expect((await write(storage, 'd')).stderr).toContain('Input/output error');
    await storage.destroy();
  });

  it('is removed while it hangs, and cleaning leaves alone what a living process uses', async () => {
    const storage = await TestStorage.create({ name: 'storage-slow', kind: 'slow', sizeMiB: 64 });
    await storage.hang();
    expect((await write(storage, 'a', 500)).timedOut).toBe(true);
    expect(await cleanTestbed()).not.toContain('storage-slow');
    await storage.destroy();
    await expect(access(runPath('storage-slow'))).rejects.toThrow('ENOENT');
    expect((await host.run(['true'])).exitCode).toBe(0);
  });
});
