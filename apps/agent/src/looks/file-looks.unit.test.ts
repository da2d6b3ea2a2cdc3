import { describe } from '@jest/globals';
import { silentLog } from '../logging/silent-log.js';
import { ExecaToolRunner } from '../process/execa-tool-runner.js';
import { CertainLooks } from './certain-looks.js';
import { ChildFileLooks } from './child-file-looks.js';
import { looksConformance } from './looks-conformance.js';

describe('ChildFileLooks', () => {
  looksConformance(() => new ChildFileLooks(new ExecaToolRunner(silentLog)), { dangling: true });
});

describe('CertainLooks', () => {
  looksConformance(() => new CertainLooks(), { dangling: false });
});
