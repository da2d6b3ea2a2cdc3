/** Questions that know nothing of each other, asked at once. Owns which failure counts. */

/**
 * The answers, in order, when all have come. Of several failures the first in order is thrown, whichever came first in time:
 * the same state always gives the same error. Throws only after every question has ended.
 */
export async function askedAtOnce<const T extends readonly Promise<unknown>[]>(
  questions: T,
): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  const answers = await Promise.allSettled(questions);
  const failure = answers.find((answer) => answer.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return answers.map((answer) => (answer as PromiseFulfilledResult<unknown>).value) as {
    -readonly [Index in keyof T]: Awaited<T[Index]>;
  };
}
