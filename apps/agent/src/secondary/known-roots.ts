/**
 * The directories that this agent may touch: the primary pools of its configuration, and the roots of the storages that are
 * acquired now. Owns that set; resolves and checks nothing on disk.
 */
export class KnownRoots {
  private readonly acquired = new Set<string>();

  constructor(private readonly pools: readonly string[]) {}

  add(root: string): void {
    this.acquired.add(root);
  }

  remove(root: string): void {
    this.acquired.delete(root);
  }

  all(): string[] {
    return [...this.pools, ...this.acquired];
  }
}
