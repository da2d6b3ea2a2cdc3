/** From measured seconds to medians, ratios, targets and the lines that are printed. Pure. */

export interface Case {
  readonly name: 'full' | 'incremental' | 'restore';
  readonly floor: number[];
  readonly holdfast: number[];
  readonly peer: number[];
}

export interface JsonRow {
  readonly case: Case['name'];
  readonly floorSeconds: number;
  readonly holdfastSeconds: number;
  readonly peerSeconds: number;
}

/** Something to reach, and whether it was. */
export interface Target {
  readonly text: string;
  readonly met: boolean;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Medians with three decimals, as the JSON file has them. */
export function jsonRows(cases: readonly Case[]): JsonRow[] {
  const rounded = (values: readonly number[]): number => Number(median(values).toFixed(3));
  return cases.map(({ name, floor, holdfast, peer }) => ({
    case: name,
    floorSeconds: rounded(floor),
    holdfastSeconds: rounded(holdfast),
    peerSeconds: rounded(peer),
  }));
}

/** A Markdown table: a row per case with medians, spreads and ratios. */
export function tableLines(cases: readonly Case[], peerName: string): string[] {
  const rows = cases.map(({ name, floor, holdfast, peer }) => {
    const [f, h, p] = [median(floor), median(holdfast), median(peer)];
    return [name, spread(floor), spread(holdfast), spread(peer), `${(h / f).toFixed(2)} ×`, `${(p / h).toFixed(2)} ×`];
  });
  const head = ['case', 'floor', 'Holdfast', peerName, 'Holdfast / floor', `${peerName} / Holdfast`];
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}

/** The targets on time of issue and documentation. */
export function timeTargets(cases: readonly Case[]): Target[] {
  const of = (name: Case['name']): JsonRow | undefined => jsonRows(cases).find((row) => row.case === name);
  const [full, incremental, restore] = [of('full'), of('incremental'), of('restore')];
  const limit = (what: string, row: JsonRow | undefined, factor: number, extra: number): Target[] => {
    if (row === undefined) return [];
    const most = row.floorSeconds * factor + extra;
    const rule = `${factor === 1 ? '' : `${factor} × `}floor + ${extra} s`;
    return [
      { text: `${what} ≤ ${rule} = ${most.toFixed(2)} s: ${row.holdfastSeconds.toFixed(2)} s`, met: row.holdfastSeconds <= most },
    ];
  };
  const faster = (row: JsonRow | undefined): Target[] => {
    if (row === undefined) return [];
    const ratio = row.peerSeconds / row.holdfastSeconds;
    return [{ text: `full ≥ 2.5 × faster than the peer: ${ratio.toFixed(2)} ×`, met: ratio >= 2.5 }];
  };
  return [
    ...limit('full', full, 1.25, 1),
    ...faster(full),
    ...limit('incremental', incremental, 1, 1.5),
    ...limit('restore', restore, 1.25, 1),
  ];
}

/** Resident memory of one program must stay below a limit. Bytes in, MB (10^6) out. */
export function memoryTarget(what: string, bytes: number, limitMb: number): Target {
  return { text: `${what} < ${limitMb} MB: ${megabytes(bytes)}`, met: bytes < limitMb * 1e6 };
}

export function targetLine({ text, met }: Target): string {
  return `target ${text}: ${met ? 'met' : 'missed'}`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** `name 1.2 s, …`: medians of the steps of several runs, in their order; steps that take no time are left out. */
export function stepLine(runs: readonly Readonly<Record<string, number>>[]): string {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run)))];
  return names
    .map((name) => [name, median(runs.map((run) => run[name] ?? 0))] as const)
    .filter(([, seconds]) => seconds >= 0.005)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(2)} s`)
    .join(', ');
}

function spread(values: readonly number[]): string {
  return `${median(values).toFixed(2)} s (${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)})`;
}
