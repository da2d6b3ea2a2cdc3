/** What `find` says of the entries of a tree. Owns the shape of its lines. Pure. */
import type { TreeEntry } from './target-files.js';

/** For `-printf`: one entry, as `records` reads it. */
export const RECORD = '%y\\t%s\\t%b\\t%i\\t%P\\0';

/** The entries in what `find -printf RECORD` has printed. */
export function records(stdout: string): TreeEntry[] {
  return stdout.split('\0').slice(0, -1).map(treeEntry);
}

function treeEntry(record: string): TreeEntry {
  const [type = '', size = '0', blocks = '0', inode = '0', ...path] = record.split('\t');
  return {
    path: path.join('\t'),
    kind: type === 'f' ? 'file' : type === 'd' ? 'directory' : 'other',
    sizeBytes: BigInt(size),
    allocatedBytes: BigInt(blocks) * 512n,
    inode: BigInt(inode),
  };
}
