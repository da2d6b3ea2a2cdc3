/** Imported before everything else: the manager waits most of the time, so memory counts for more than speed. */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--optimize-for-size');
