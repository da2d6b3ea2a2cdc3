/** How to reach a secondary storage: our own type of the wire's Storage. */
export interface StorageSpec {
  readonly id: string;
  readonly name: string;
  /** `dir`, or a file system type for mount(8). */
  readonly type: string;
  readonly source: string;
  readonly options: string;
}
