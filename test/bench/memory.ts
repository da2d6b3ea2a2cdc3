/** Resident memory of processes, as the kernel counts it. Reads /proc and decides nothing. */
import { readdir, readFile } from 'node:fs/promises';

/** Bytes. `process`: the program alone; `children`: all that it started, shared pages counted once. */
export interface MemoryUse {
  readonly process: number;
  readonly children: number;
}

/** Memory of a process and of everything below it now. */
export async function memoryUse(pid: number): Promise<MemoryUse> {
  const below = await descendants(pid);
  const children = await Promise.all(below.map((one) => field(one, 'smaps_rollup', 'Pss')));
  return { process: await field(pid, 'status', 'VmRSS'), children: children.reduce((sum, bytes) => sum + bytes, 0) };
}

/** Looks every 100 ms until `over` settles; the most that was seen of each. */
export async function peakMemory(pid: number, over: Promise<unknown>): Promise<MemoryUse> {
  let done = false;
  const stop = (): void => void (done = true);
  over.then(stop, stop);
  let peak = await memoryUse(pid);
  while (!done) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = await memoryUse(pid);
    peak = { process: Math.max(peak.process, now.process), children: Math.max(peak.children, now.children) };
  }
  return peak;
}

async function descendants(root: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
    if (parent !== undefined) parents.set(Number(entry), Number(parent));
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === root || (parent > 1 && isBelow(parent)));
  };
  return [...parents.keys()].filter(isBelow);
}

/** 0 for a process that has just ended. */
async function field(pid: number, file: string, name: string): Promise<number> {
  const text = await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
}
