/**
 * The real image tool: qemu-img, with explicit formats, explicit caches and locks that protect. Owns the words of qemu-img.
 * Decides nothing about chains; never writes with -U; reads frozen layers without -U, because only such a reader holds
 * writers off while it reads.
 */
import type { ImageFormat, ObservedLayer } from '@holdfast/shared/chain/observed-domain.js';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import type { Log } from '../logging/log.js';
import type { ToolCall, ToolResult, ToolRunner } from '../process/tool-runner.js';
import { demandAbsent } from '../looks/demand-absent.js';
import { factsOrAbsent } from '../looks/found-or-absent.js';
import { demandAbsolute } from '../looks/demand-absolute.js';
import { FileLook, seeFiles } from '../looks/file-look.js';
import type { FileFacts, FileLooks } from '../looks/file-looks.js';
import { isInsideRoots } from '../looks/inside-roots.js';
import { HeldHeaders } from './held-headers.js';
import { parseImageInfo, parseMap, parseProgress } from './image-info.js';
import { isLockedFor, layerAlone, type LockProbe } from './image-locks.js';
import { explainFailure, toolFailed } from './qemu-img-failure.js';
import type { ChainWish, CopyWish, ImageInfo, ImageTool, LongCall } from './image-tool.js';

const QUICK_MS = 30_000;
/** Hang guard of a copy. The operation's own timeout comes in as a signal and is what ends long work. */
const LONG_MS = 7 * 24 * 3600 * 1000;
const MAX_LAYERS = 256;

export class QemuImgTool implements ImageTool {
  private readonly tools: ToolRunner;
  private readonly looks: FileLooks;
  private readonly log: Log;
  private readonly heldHeaders = new HeldHeaders();

  constructor(ports: { tools: ToolRunner; looks: FileLooks; log: Log }) {
    this.tools = ports.tools;
    this.looks = ports.looks;
    this.log = ports.log;
  }

  async version(): Promise<string> {
    const text = await this.tools.must('qemu-img', ['--version'], { deadlineMs: QUICK_MS });
    return /version (\S+)/.exec(text)?.[1] ?? text.trim();
  }

  async info(path: string, format: ImageFormat): Promise<ImageInfo> {
    demandAbsolute(path);
    const args = ['info', '-U', '-f', format, '--output=json', path];
    const answer = await this.quick('qemu-img', args, path);
    if (answer.exitCode === 0) return parseImageInfo(path, format, answer.stdout);
    if ((await factsOrAbsent(this.looks, path)) === undefined) {
      throw new HoldfastError('NOT_FOUND', `The image ${path} does not exist.`, { path });
    }
    throw toolFailed(args, answer);
  }

  async chains(disks: readonly ChainWish[], allowedRoots: readonly string[]): Promise<(ObservedLayer[] | HoldfastError)[]> {
    const look = new FileLook(
      this.looks,
      disks.flatMap(({ path, expected = [] }) => [path, ...expected]),
    );
    return Promise.all(disks.map((disk) => this.chain(disk, look, allowedRoots).catch((thrown) => HoldfastError.from(thrown))));
  }

  private async chain(disk: ChainWish, look: FileLook, allowedRoots: readonly string[]): Promise<ObservedLayer[]> {
    const { path } = disk;
    const layers: ObservedLayer[] = [];
    const seen = new Set<string>();
    let next: { path: string; format: ImageFormat } | undefined = disk;
    while (next !== undefined) {
      const layer: string = next.path;
      const facts = await this.layerFacts(path, layer, look, allowedRoots);
      if (seen.has(facts.identity) || layers.length >= MAX_LAYERS) {
        throw new HoldfastError('CHAIN_UNEXPLAINED', `The backing chain of ${path} comes back to ${layer}.`, { path, layer });
      }
      seen.add(facts.identity);
      const { format }: { format: ImageFormat } = next;
      const read = (): Promise<ImageInfo> => this.info(layer, format);
      const info = await (disk.held === true ? this.heldHeaders.of(layer, facts, format, read) : read());
      const { inode, allocatedBytes } = facts;
      layers.push({ path: layer, format, inode, virtualSizeBytes: info.virtualSizeBytes, allocatedBytes });
      next = nextLayer(path, info);
    }
    return layers;
  }

  async places(paths: readonly string[]): Promise<Map<string, { identity: string; realPath: string }>> {
    const seen = [...(await seeFiles(this.looks, paths))];
    const unseen = seen.filter(([, { facts }]) => facts === undefined);
    await Promise.all(unseen.map(([path]) => demandAbsent(this.looks, path)));
    return new Map(
      seen.flatMap(([path, { facts, realPath }]) =>
        facts === undefined ? [] : [[path, { identity: facts.identity, realPath }]],
      ),
    );
  }

  /**
   * True when an opening for writing is refused: some QEMU has the image open, as active disk or as backing file, or a
   * tool reads it. Nothing is written, whatever the format.
   */
  async isLocked(path: string, _format: ImageFormat): Promise<boolean> {
    return isLockedFor(this.tools, { path, for: 'write' });
  }

  async isUntouched(path: string): Promise<boolean> {
    demandAbsolute(path);
    const args = ['map', '--output=json', layerAlone(path, 'qcow2')];
    const answer = await this.quick('qemu-img', args, path);
    if (answer.exitCode !== 0) throw await explainFailure(this.tools, args, answer, [{ path, for: 'read', format: 'qcow2' }]);
    return parseMap(answer.stdout).every(({ present }) => !present);
  }

  async create(path: string, sizeBytes: bigint, backing?: { name: string; format: ImageFormat }): Promise<void> {
    await this.claimName(path);
    const backingArgs = backing === undefined ? [] : ['-b', backing.name, '-F', backing.format];
    await this.change(['create', '-q', '-f', 'qcow2', ...backingArgs, path, String(sizeBytes)], path);
  }

  async flatten(wish: CopyWish): Promise<void> {
    demandAbsolute(wish.sourcePath);
    await this.claimName(wish.targetPath);
    const { sourceFormat, sourcePath, targetPath } = wish;
    await this.long(
      ['convert', '-p', '-f', sourceFormat, '-O', 'qcow2', ...copying(wish), sourcePath, targetPath],
      wish,
      async () => [...(await this.readersOf(sourcePath, sourceFormat)), { path: targetPath, for: 'write' }],
    );
  }

  async copyLayerOnto(wish: CopyWish & { backingName: string }): Promise<void> {
    demandAbsolute(wish.sourcePath);
    const { sourceFormat, sourcePath, targetPath, backingName } = wish;
    const target = await this.info(targetPath, 'qcow2');
    if (target.backingName !== backingName || target.backingFormat === undefined) {
      throw new HoldfastError(
        'CHAIN_UNEXPLAINED',
        `${targetPath} has ${target.backingName ?? 'no backing file'} in its header where ${backingName} was expected; nothing was copied.`,
        { path: targetPath },
      );
    }
    const base = ['-n', '-B', backingName, '-F', target.backingFormat];
    await this.long(
      ['convert', '-p', '-f', sourceFormat, '-O', 'qcow2', ...copying(wish), ...base, sourcePath, targetPath],
      wish,
      async () => [...(await this.readersOf(sourcePath, sourceFormat)), { path: targetPath, for: 'write' }],
    );
  }

  async check(path: string, options: { mendLeaks?: boolean } = {}): Promise<void> {
    demandAbsolute(path);
    const mend = options.mendLeaks === true ? ['-r', 'leaks'] : [];
    await this.long(['check', '-q', ...mend, '-f', 'qcow2', path], {}, async () => [{ path, for: 'read', format: 'qcow2' }]);
  }

  async commit(top: string, base: string, call: LongCall & { readonly bytesPerSecond?: bigint } = {}): Promise<void> {
    const info = await this.info(top, 'qcow2');
    if (info.backingPath === undefined || info.backingFormat === undefined || !(await this.sameFile(info.backingPath, base))) {
      throw new HoldfastError(
        'CHAIN_UNEXPLAINED',
        `${top} is not committed into ${base}: its header names ${info.backingName ?? 'no backing file'}${info.backingFormat === undefined ? ' without a format' : ''}.`,
        { path: top, base },
      );
    }
    const limit = call.bytesPerSecond === undefined ? [] : ['-r', String(call.bytesPerSecond)];
    await this.long(['commit', '-p', '-d', '-f', 'qcow2', '-t', 'writeback', ...limit, top], call, async () => [
      { path: top, for: 'write' },
      { path: base, for: 'write' },
    ]);
  }

  async repoint(path: string, backing: { name: string; format: ImageFormat } | undefined): Promise<void> {
    demandAbsolute(path);
    const target = backing === undefined ? ['-b', ''] : ['-b', backing.name, '-F', backing.format];
    await this.change(['rebase', '-u', '-f', 'qcow2', '-t', 'writethrough', ...target, path], path);
    const after = await this.info(path, 'qcow2');
    if (after.backingName !== backing?.name || after.backingFormat !== backing?.format) {
      throw new HoldfastError(
        'TOOL_FAILED',
        `${path} still names ${after.backingName ?? 'no backing file'} after it was repointed.`,
        {
          tool: 'qemu-img',
          path,
        },
      );
    }
  }

  async equal(
    a: { path: string; format: ImageFormat },
    b: { path: string; format: ImageFormat },
    call: LongCall = {},
  ): Promise<boolean> {
    const [infoA, infoB] = [await this.info(a.path, a.format), await this.info(b.path, b.format)];
    if (infoA.virtualSizeBytes !== infoB.virtualSizeBytes) return false;
    const args = ['compare', '-p', '-f', a.format, '-F', b.format, a.path, b.path];
    const answer = await this.tools.run('qemu-img', args, longCall(call));
    if (answer.exitCode === 0) return true;
    if (answer.exitCode === 1) return false;
    throw await explainFailure(this.tools, args, answer, [
      ...(await this.readersOf(a.path, a.format)),
      ...(await this.readersOf(b.path, b.format)),
    ]);
  }

  private async layerFacts(path: string, layer: string, look: FileLook, allowedRoots: readonly string[]): Promise<FileFacts> {
    const fields = { path, layer };
    const { facts, realPath } = await look.at(layer);
    if (facts === undefined) {
      await demandAbsent(this.looks, layer);
      throw new HoldfastError(
        'BACKING_FILE_MISSING',
        `${layer}, a layer of ${path}, does not exist. Bring it back or mount its storage.`,
        fields,
      );
    }
    if (!(await isInsideRoots(this.looks, realPath, allowedRoots))) {
      throw new HoldfastError(
        'PATH_OUTSIDE_POOLS',
        `${layer}, a layer of ${path}, is outside the agent's primary pools. Add its folder to the agent's pools or move the file.`,
        fields,
      );
    }
    return facts;
  }

  /** Makes the file, failing when the name is taken: qemu-img itself would overwrite it. */
  private async claimName(path: string): Promise<void> {
    demandAbsolute(path);
    const args = ['if=/dev/null', `of=${path}`, 'conv=excl', 'count=0', 'status=none'];
    const answer = await this.quick('dd', args, path);
    if (answer.exitCode === 0) return;
    if ((await this.looks.facts([path])).has(path)) {
      throw new HoldfastError('FILE_IN_USE', `${path} exists already and is not overwritten.`, { path });
    }
    throw new HoldfastError('TOOL_FAILED', `${path} cannot be created: ${answer.stderr.trim()}`, {
      tool: 'dd',
      path,
      exitCode: String(answer.exitCode),
      stderr: answer.stderr.slice(-2000),
    });
  }

  private async sameFile(a: string, b: string): Promise<boolean> {
    if (a === b) return true;
    const facts = await this.looks.facts([a, b]);
    const identity = facts.get(a)?.identity;
    return identity !== undefined && identity === facts.get(b)?.identity;
  }

  private async long(args: readonly string[], call: LongCall, touched: () => Promise<LockProbe[]>): Promise<void> {
    this.log.debug('qemu-img starts', { args });
    const answer = await this.tools.run('qemu-img', args, longCall(call));
    if (answer.exitCode !== 0) throw await explainFailure(this.tools, args, answer, await touched());
    call.onProgress?.(1);
  }

  private async change(args: readonly string[], path: string): Promise<void> {
    const answer = await this.quick('qemu-img', args, path);
    if (answer.exitCode !== 0) throw await explainFailure(this.tools, args, answer, [{ path, for: 'write' }]);
  }

  /** A call that ends at once on a storage that answers. TIMED_OUT names the file. */
  private async quick(tool: 'qemu-img' | 'dd', args: readonly string[], path: string): Promise<ToolResult> {
    try {
      return await this.tools.run(tool, args, { deadlineMs: QUICK_MS });
    } catch (thrown) {
      const error = HoldfastError.from(thrown);
      if (error.code !== 'TIMED_OUT') throw error;
      throw new HoldfastError('TIMED_OUT', `${error.message} It worked on ${path}.`, { ...error.fields, path }, { cause: error });
    }
  }

  private async readersOf(path: string, format: ImageFormat): Promise<LockProbe[]> {
    const touched: LockProbe[] = [];
    let next: { path: string; format: ImageFormat } | undefined = { path, format };
    while (next !== undefined && touched.length < MAX_LAYERS) {
      touched.push({ path: next.path, for: 'read', format: next.format });
      const info: ImageInfo | undefined = await this.info(next.path, next.format).catch(() => undefined);
      next =
        info?.backingPath === undefined || info.backingFormat === undefined
          ? undefined
          : { path: info.backingPath, format: info.backingFormat };
    }
    return touched;
  }
}

function nextLayer(path: string, info: ImageInfo): { path: string; format: ImageFormat } | undefined {
  if (info.backingName === undefined) return undefined;
  const fields = { path, layer: info.path };
  if (info.backingPath === undefined) {
    throw new HoldfastError(
      'DISK_UNSUPPORTED',
      `${info.path}, a layer of ${path}, is backed by ${info.backingName}, which is not a file.`,
      fields,
    );
  }
  if (info.backingFormat === undefined) {
    throw new HoldfastError(
      'DISK_UNSUPPORTED',
      `${info.path}, a layer of ${path}, does not say the format of its backing file, and formats are never guessed. Write it with qemu-img rebase -u -F while the VM is off.`,
      fields,
    );
  }
  return { path: info.backingPath, format: info.backingFormat };
}

/** The target is flushed once by the caller, not again and again in the middle of the copy (docs/decisions/0012). */
function copying(wish: CopyWish): string[] {
  return ['-t', 'unsafe', '-W', '-m', String(Math.max(1, Math.min(16, wish.coroutines)))];
}

function longCall(call: LongCall): ToolCall {
  let rest = '';
  return {
    deadlineMs: LONG_MS,
    signal: call.signal,
    onStdout: (text) => {
      // A number may arrive in two pieces.
      rest = (rest + text).slice(-200);
      const share = parseProgress(rest);
      if (share !== undefined) call.onProgress?.(share);
    },
  };
}
