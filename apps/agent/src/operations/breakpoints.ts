/**
 * The port by which crash tests stop an operation before or after a journalled step. In production nothing is set and
 * `reached` returns at once. The file adapter is active only when HOLDFAST_BREAKPOINTS names a directory:
 * `<step>.<subject or "vm">.<before|after>` in it makes the runner write `<same>.reached`, and wait until the first is gone.
 * "before": intent is durable, nothing done. "after": done, result not yet journalled.
 */
export interface Breakpoints {
  reached(step: string, subject: string, phase: 'before' | 'after'): Promise<void>;
}
