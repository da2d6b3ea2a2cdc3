/** Which layers in the chains of a VM are another VM's by any record, or by its last sight. Reads; decides nothing. */
import type { EntityManager } from 'typeorm';
import { hasDeltaName } from '@holdfast/shared/chain/layer-names.js';

/** Of the deltas by name in these volumes: those that another VM has, or had when it was last seen. */
export async function layersOfOthers(
  manager: EntityManager,
  vmId: string,
  volumes: readonly { readonly layers: readonly { readonly path: string }[] }[],
): Promise<ReadonlySet<string>> {
  const paths = volumes.flatMap(({ layers }) => layers.map(({ path }) => path)).filter(hasDeltaName);
  if (paths.length === 0) return new Set();
  const rows = await manager.query<{ path: string }[]>(
    `SELECT path FROM volume_delta WHERE vm_id <> $1 AND path = ANY($2)
     UNION SELECT layer->>'path' FROM volume, jsonb_array_elements(layers) AS layer WHERE vm_id <> $1 AND layer->>'path' = ANY($2)`,
    [vmId, paths],
  );
  return new Set(rows.map(({ path }) => path));
}
