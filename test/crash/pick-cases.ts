/** Which of the cases of one fault belong to a fixed part of them. Pure, so that a part is the same in every run. */

/**
 * Every nth of `cases`, beginning at another one for each fault. At least one, however large `nth` is: a fault that is part of
 * a run strikes in it.
 */
export function pickCases<T>(cases: readonly T[], nth: number, faultIndex: number): T[] {
  const step = Math.min(nth, cases.length);
  return cases.filter((_unused, at) => (at + faultIndex * 5) % step === 0);
}
