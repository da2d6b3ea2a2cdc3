/** Values that come faster than they are needed. Owns the pace; knows nothing of what they are. */

/**
 * Of a source's values the newest, at most one in `everyMs`; the first and those that are `urgent` at once, and the last always.
 * Values in between are dropped. The source is read all the time; it must end when nobody wants it any more. Its failure is thrown
 * after what came before it.
 */
export async function* newestOf<T>(
  source: AsyncIterable<T>,
  everyMs: number,
  urgent: (value: T) => boolean,
): AsyncGenerator<T, void, undefined> {
  let newest: { readonly value: T } | undefined;
  let end: { readonly failure?: unknown } | undefined;
  let wake = (): void => undefined;
  const news = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const read = async (): Promise<void> => {
    for await (const value of source) {
      newest = { value };
      wake();
    }
  };
  void read()
    .then(
      () => (end = {}),
      (failure: unknown) => (end = { failure }),
    )
    .finally(() => wake());
  let notBefore = 0;
  while (true) {
    const now = newest;
    const wait = notBefore - performance.now();
    if (now !== undefined && (wait <= 0 || end !== undefined || urgent(now.value))) {
      newest = undefined;
      notBefore = performance.now() + everyMs;
      yield now.value;
    } else if (end !== undefined) {
      if ('failure' in end) throw end.failure;
      return;
    } else if (now === undefined) {
      await news();
    } else {
      const timer = setTimeout(() => wake(), wait);
      await news();
      clearTimeout(timer);
    }
  }
}
