/** Works that must not run at once, one after the other for each key. Owns their order. */
export class InTurn {
  private readonly last = new Map<string, Promise<unknown>>();

  /** Begins when every work that was given before for this key has ended, however it ended. As `work` in what it gives. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const done = (this.last.get(key) ?? Promise.resolve()).then(work);
    const ended = done.then(
      () => undefined,
      () => undefined,
    );
    this.last.set(key, ended);
    void ended.then(() => {
      if (this.last.get(key) === ended) this.last.delete(key);
    });
    return done;
  }
}
