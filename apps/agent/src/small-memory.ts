/**
 * Keeps the agent small: it waits most of the time, and its work is done by children, so compiled code and a large young
 * generation buy nothing. Measured idle: 130 MB without, 90 MB with. Imported before everything else.
 */
import { setFlagsFromString } from 'node:v8';

for (const flag of ['--max-semi-space-size=1', '--optimize-for-size', '--no-opt', '--no-maglev', '--no-sparkplug'])
  setFlagsFromString(flag);
