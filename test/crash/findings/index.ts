/** All findings and their runner. Adding one means adding a line. */
import { CrashBench } from '../crash-bench.js';
import type { CrashReport } from '../run-crash-cases.js';
import { definitionDrift, noBackingStoreLeft } from './definition.js';
import type { Finding } from './finding.js';
import { foreignSnapshots } from './foreign-snapshots.js';
import { agentHangsInFreeze, agentHangsWhileFrozen, agentDiesWhileFrozen } from './freeze.js';
import { hangsInCopy, hangsInPublication, hangsInRestore, hangsUntilFailed } from './hanging.js';
import { libvirtdMissesTheSnapshot, libvirtdDiesAroundTheSnapshot } from './missed-snapshot.js';
import { libvirtdDiesAroundThePivot, qemuDiesAroundThePivot } from './pivot.js';
import { lockedDelta } from './locks.js';
import { fullPrimary, readOnlyPrimary, tightPrimary } from './primary.js';
import { unmountedStorage } from './unmounted.js';
import { unsyncedStorage } from './unsynced.js';

export const FINDINGS: readonly Finding[] = [
  libvirtdMissesTheSnapshot,
  libvirtdDiesAroundTheSnapshot,
  libvirtdDiesAroundThePivot,
  qemuDiesAroundThePivot,
  foreignSnapshots,
  noBackingStoreLeft,
  lockedDelta,
  agentHangsInFreeze,
  agentHangsWhileFrozen,
  agentDiesWhileFrozen,
  definitionDrift,
  unsyncedStorage,
  unmountedStorage,
  hangsInCopy,
  hangsUntilFailed,
  hangsInPublication,
  hangsInRestore,
  fullPrimary,
  readOnlyPrimary,
  tightPrimary,
];

/** Each on a bench of its own; a line per finding. */
export async function runFindings(findings: readonly Finding[], print: (line: string) => void): Promise<CrashReport> {
  let passed = 0;
  let failed = 0;
  for (const finding of findings) {
    const began = Date.now();
    const bench = await CrashBench.create('findings');
    try {
      const words = await finding.play(bench);
      passed += 1;
      print(`${finding.name} ok ${((Date.now() - began) / 1000).toFixed(1)}s (${words})`);
    } catch (error) {
      failed += 1;
      print(`${finding.name} FAILED ${error instanceof Error ? error.message : String(error)}`);
      print(await bench.logs());
    } finally {
      await bench.destroy();
    }
  }
  return { passed, failed };
}
