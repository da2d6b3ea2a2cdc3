/**
 * The whole sweep cut into parts that each strike every step. Pure, so that a round is the same in every run. Owns no case, only
 * which fault meets which moment.
 */

/**
 * Every moment once, with one fault each: neighbours meet different faults, and each moment another one in each round. As many
 * rounds as there are faults (0, 1, …) are all pairs, each of them once. `round` undefined: all pairs at once, fault by fault.
 */
export function roundOf<Moment, Fault>(
  moments: readonly Moment[],
  faults: readonly Fault[],
  round: number | undefined,
): [Moment, Fault][] {
  if (round === undefined) return faults.flatMap((fault) => moments.map((moment): [Moment, Fault] => [moment, fault]));
  return moments.flatMap((moment, index) => {
    const fault = faults[(index + round) % faults.length];
    return fault === undefined ? [] : [[moment, fault] as [Moment, Fault]];
  });
}
