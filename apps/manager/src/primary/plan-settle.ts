/**
 * Says which layers of a volume may go, and which content must stay: what an agent is told before it brings a chain to rest.
 * Pure. What is possible is the agent's to find, with the planner of chains; this only names what is ours.
 */
import type { MergeVolume, PinnedLayer } from '../persistence/agent-command.js';

export interface SettleVolume {
  readonly id: string;
  readonly target: string;
  /** From the active layer down. */
  readonly layers: readonly { readonly path: string }[];
  readonly templatePath: string | null;
}

interface SettleLayer {
  readonly volumeId: string;
  readonly path: string;
  readonly state: 'Intended' | 'Present' | 'Leftover';
}

export interface SettleDelta extends SettleLayer {
  readonly backupId: string;
}

export interface SettleOverlay extends SettleLayer {
  /** A revert of ours took it out of the chain. */
  readonly branch: boolean;
}

export interface SettleRows {
  readonly deltas: readonly SettleDelta[];
  readonly overlays: readonly SettleOverlay[];
}

/**
 * The wish for one volume. Named are the layers of ours that are in the chain now, but those that `keeps`, those that a
 * revert of ours put into a branch, and those that we merged and could not delete while a snapshot was still of them (without
 * one they are left over, and need no plan). A layer that left the chain by anybody else's hand is not judged: it may hold the
 * very data that somebody is about to miss.
 */
export function settleVolume(
  volume: SettleVolume,
  rows: SettleRows,
  pins: readonly PinnedLayer[],
  keeps: (delta: SettleDelta) => boolean = () => false,
): MergeVolume {
  const chain = volume.layers.map((layer) => layer.path);
  const deltas = rows.deltas.filter((delta) => delta.volumeId === volume.id && !keeps(delta)).map((delta) => delta.path);
  const overlays = rows.overlays.filter((overlay) => overlay.volumeId === volume.id);
  const own = new Set([...deltas, ...overlays.map((overlay) => overlay.path)]);
  const pinned = new Set(pins.map((pin) => pin.path));
  const left = rows.deltas.filter((delta) => own.has(delta.path) && isLeft(delta));
  const beside = [...left, ...overlays.filter((overlay) => overlay.branch || isLeft(overlay))].filter(
    ({ path }) => !chain.includes(path),
  );
  function isLeft({ path, state }: SettleLayer): boolean {
    return state === 'Leftover' && pinned.has(path);
  }
  return {
    target: volume.target,
    deltaPaths: [...chain.filter((path) => own.has(path)), ...beside.map(({ path }) => path)],
    pins: [...pins],
    templatePath: volume.templatePath ?? '',
  };
}
