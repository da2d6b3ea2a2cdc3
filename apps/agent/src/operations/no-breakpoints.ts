/** Breakpoints in production: there are none. */
import type { Breakpoints } from './breakpoints.js';

export const noBreakpoints: Breakpoints = {
  async reached() {
    // Nothing is ever stopped.
  },
};
