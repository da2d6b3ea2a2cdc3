/**
 * The order of jest's suites. Owns one rule: what runs on real VMs for minutes comes first, so that at the end no worker waits
 * for one long suite that began last.
 */
const ORDER = ['system', 'host', 'database', 'unit'];

export default class LongestFirst {
  /** Groups by size, then by path, so that every run has the same order. */
  sort(tests) {
    const rank = ({ context }) => ORDER.indexOf(context.config.displayName.name);
    return [...tests].sort((one, other) => rank(one) - rank(other) || one.path.localeCompare(other.path));
  }

  /** For --onlyFailures, which is not used here. */
  allFailedTests(tests) {
    return tests;
  }

  /** Nothing is remembered between runs. */
  cacheResults() {}
}
