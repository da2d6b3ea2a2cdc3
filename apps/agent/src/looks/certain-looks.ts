/**
 * FileLooks by the kernel's own calls, for the process that may hang on them. Owns what counts as certain: whatever is neither an
 * answer nor a plain "there is no such thing" throws, and is asked again in another way. One call after the other, so that one
 * question waits in one thread at most.
 */
import { constants } from 'node:fs';
import { access, lstat, open, readdir, readlink, realpath, stat, statfs } from 'node:fs/promises';
import type { BigIntStats } from 'node:fs';
import { dirname, join } from 'node:path';
import { demandAbsolute } from './demand-absolute.js';
import type { FileFacts, FileLooks } from './file-looks.js';
import { isUnlisted } from './is-unlisted.js';

/** As many links as the kernel follows. */
const MOST_LINKS = 40;

export class CertainLooks implements FileLooks {
  async facts(paths: readonly string[]): Promise<Map<string, FileFacts>> {
    const found = new Map<string, FileFacts>();
    for (const path of paths) {
      demandAbsolute(path);
      const seen = await unlessAbsent(stat(path, { bigint: true }));
      if (seen !== undefined) found.set(path, factsOf(seen));
      // A link to nothing is something.
      else if (!(await this.isAbsent(path))) throw new Error('a dangling link');
    }
    return found;
  }

  async entries(folder: string, names: readonly string[]): Promise<Map<string, FileFacts>> {
    demandAbsolute(folder);
    const found = new Map<string, FileFacts>();
    for (const name of names) {
      const seen = await unlessAbsent(lstat(join(folder, name), { bigint: true }));
      if (seen !== undefined) found.set(name, factsOf(seen));
    }
    const missing = names.filter((name) => !found.has(name));
    const there = missing.length === 0 ? [] : ((await this.names(folder)) ?? []);
    if (missing.some((name) => there.includes(name))) throw new Error('a name that is listed and cannot be looked at');
    return found;
  }

  async names(directory: string): Promise<string[] | undefined> {
    demandAbsolute(directory);
    const names = await unlessAbsent(readdir(directory));
    // A file has no names, and neither has a link to nothing.
    if (names === undefined) return (await unlessAbsent(lstat(directory))) === undefined ? undefined : [];
    return names.sort();
  }

  async isAbsent(path: string): Promise<boolean> {
    demandAbsolute(path);
    if ((await unlessAbsent(lstat(path))) !== undefined) return false;
    // A network file system remembers for some time that a name was not there: the folder must say so as well.
    return isUnlisted(this, path);
  }

  async realPaths(paths: readonly string[]): Promise<string[]> {
    const resolved: string[] = [];
    for (const path of paths) {
      demandAbsolute(path);
      resolved.push((await unlessAbsent(realpath(path))) ?? (await resolve(path)));
    }
    return resolved;
  }

  async text(path: string, mostBytes: number): Promise<string | undefined> {
    demandAbsolute(path);
    const seen = await unlessAbsent(stat(path));
    if (seen === undefined && (await this.isAbsent(path))) return undefined;
    // Opening anything else may wait for somebody who writes.
    if (seen?.isFile() !== true) throw new Error('not a file');
    const file = await open(path, 'r');
    try {
      const bytes = Buffer.alloc(Math.min(mostBytes, seen.size + 1));
      let length = 0;
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = (await file.read(bytes, length, bytes.length - length)).bytesRead;
      }
      // It has grown meanwhile.
      if (length > seen.size && length < mostBytes) throw new Error('somebody writes it');
      return bytes.toString('utf8', 0, length);
    } finally {
      await file.close();
    }
  }

  async space(path: string): Promise<{ totalBytes: bigint; freeBytes: bigint }> {
    demandAbsolute(path);
    const { frsize, blocks, bavail } = (await statfs(path, { bigint: true })) as {
      [name in 'frsize' | 'blocks' | 'bavail']: bigint;
    };
    if (frsize <= 0n) throw new Error('a file system that does not say how large its blocks are');
    return { totalBytes: blocks * frsize, freeBytes: bavail * frsize };
  }

  async isWritable(path: string): Promise<boolean> {
    demandAbsolute(path);
    try {
      await access(path, constants.W_OK);
      return true;
    } catch (thrown) {
      if (codeOf(thrown) === 'EROFS' || codeOf(thrown) === 'EACCES') return false;
      throw thrown;
    }
  }
}

/** Undefined: the kernel says that there is no such name. */
async function unlessAbsent<T>(look: Promise<T>): Promise<T | undefined> {
  try {
    return await look;
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT' || codeOf(thrown) === 'ENOTDIR') return undefined;
    throw thrown;
  }
}

function codeOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException).code;
}

/** A path of which parts do not exist: these stay as they are, and a link to nothing leads where it says. */
async function resolve(path: string): Promise<string> {
  const rest = path.split('/');
  let done = '/';
  for (let links = 0; rest.length > 0;) {
    const part = rest.shift();
    if (part === undefined || part === '' || part === '.') continue;
    if (part === '..') {
      done = dirname(done);
      continue;
    }
    const next = join(done, part);
    const target = await readlink(next).catch((thrown: unknown) => {
      const code = codeOf(thrown);
      if (code === 'EINVAL' || code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw thrown;
    });
    if (target === undefined) {
      done = next;
      continue;
    }
    links += 1;
    if (links > MOST_LINKS) throw new Error('too many links');
    if (target.startsWith('/')) done = '/';
    rest.unshift(...target.split('/'));
  }
  return done;
}

function factsOf(seen: BigIntStats): FileFacts {
  const nanoseconds = String(seen.mtimeNs % 1_000_000_000n).padStart(9, '0');
  return {
    kind: seen.isFile() ? 'file' : seen.isDirectory() ? 'directory' : 'other',
    identity: `${seen.dev}:${seen.ino}`,
    inode: seen.ino,
    // As find writes it: one agent may hear of a file in both ways.
    modified: `${seen.mtimeNs / 1_000_000_000n}.${nanoseconds}0`,
    sizeBytes: seen.size,
    allocatedBytes: seen.blocks * 512n,
  };
}
