/**
 * Reads what qemu-img says about one image. Pure: text in, facts out.
 */
import type { ImageFormat } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { ImageInfo } from './image-tool.js';

interface RawInfo {
  readonly format?: string;
  readonly 'virtual-size'?: number;
  readonly 'actual-size'?: number;
  readonly encrypted?: boolean;
  readonly 'backing-filename'?: string;
  readonly 'backing-filename-format'?: string;
  readonly 'format-specific'?: { readonly data?: { readonly 'data-file'?: string; readonly corrupt?: boolean } };
}

/**
 * The facts of the image at `path`. DISK_UNSUPPORTED for what Holdfast cannot carry: encryption, an external data file, an
 * image that QEMU has marked corrupt, a backing format other than qcow2 and raw.
 */
export function parseImageInfo(path: string, format: ImageFormat, json: string): ImageInfo {
  const raw = JSON.parse(json) as RawInfo;
  const refuse = (what: string, wayOut: string): never => {
    throw new HoldfastError('DISK_UNSUPPORTED', `${path} ${what}. ${wayOut}`, { path });
  };
  if (raw.encrypted === true) refuse('is encrypted', 'Encrypt inside the guest or below the file system instead.');
  const data = raw['format-specific']?.data;
  if (data?.['data-file'] !== undefined) refuse('keeps its data in an external data file', 'Convert it to a plain qcow2 file.');
  if (data?.corrupt === true)
    refuse('is marked corrupt by QEMU', `Repair it with qemu-img check -r all -f qcow2 while the VM is off.`);
  const backingFormat = raw['backing-filename-format'];
  const backingName = raw['backing-filename'];
  if (backingName !== undefined && backingFormat !== undefined && backingFormat !== 'qcow2' && backingFormat !== 'raw') {
    refuse(`has a backing file of format ${backingFormat}`, 'Convert the backing file to qcow2 or raw and repoint the image.');
  }
  return {
    path,
    format,
    virtualSizeBytes: BigInt(raw['virtual-size'] ?? 0),
    allocatedBytes: BigInt(raw['actual-size'] ?? 0),
    backingName,
    backingPath: backingName === undefined ? undefined : resolveBackingName(path, backingName),
    backingFormat: backingName === undefined ? undefined : (backingFormat as ImageFormat | undefined),
  };
}

/**
 * Absolute path of a backing name as QEMU resolves it: against the folder of the image that names it. Undefined when the
 * name is a protocol (`nbd:…`, `json:…`) and thus no file. Not normalised: `..` after a symbolic link means something else.
 */
export function resolveBackingName(imagePath: string, name: string): string | undefined {
  if (name.startsWith('/')) return name;
  if (name.startsWith('file:')) return resolveBackingName(imagePath, name.slice('file:'.length));
  const colon = name.indexOf(':');
  const slash = name.indexOf('/');
  if (colon !== -1 && (slash === -1 || colon < slash)) return undefined;
  return `${imagePath.slice(0, imagePath.lastIndexOf('/') + 1)}${name}`;
}

/** The extents of one layer in what `qemu-img map --output=json` says. `present`: a cluster stands for it, be it for zeros. */
export function parseMap(json: string): readonly { readonly present: boolean }[] {
  return (JSON.parse(json) as { present?: boolean }[]).map(({ present }) => ({ present: present !== false }));
}

/** The newest share, 0 to 1, in a piece of `qemu-img -p` output; undefined when it holds none. */
export function parseProgress(text: string): number | undefined {
  const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1);
  return last === undefined ? undefined : Math.min(1, Number(last[1]) / 100);
}
