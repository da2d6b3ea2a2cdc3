// Tests by size: unit (rules, milliseconds), database (real PostgreSQL), host (real libvirt and QEMU),
// system (the whole product on real VMs: the part of acceptance and crash that CI runs; `make acceptance` and `make crash`
// run all of it).
const common = {
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^@holdfast/shared/(.*)\\.js$': '<rootDir>/packages/shared/src/$1.ts',
    '^@holdfast/agent/(.*)\\.js$': '<rootDir>/apps/agent/src/$1.ts',
  },
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
          target: 'es2023',
          keepClassNames: true,
        },
        module: { type: 'es6' },
      },
    ],
  },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['/dist/', '/.work/'],
  testEnvironment: 'node',
};

const roots = ['<rootDir>/packages', '<rootDir>/apps', '<rootDir>/test'];

export default {
  projects: [
    { ...common, displayName: 'unit', roots, testMatch: ['**/*.unit.test.ts'] },
    { ...common, displayName: 'database', roots, testMatch: ['**/*.database.test.ts'] },
    { ...common, displayName: 'host', roots, testMatch: ['**/*.host.test.ts'] },
    { ...common, displayName: 'system', roots, testMatch: ['**/*.system.test.ts'] },
  ],
  // Longer than any wait in a test (HANG_MS of the test bed): the wait knows what it waited for, this limit does not.
  testTimeout: 360_000,
  // Most suites wait for a guest, a disk or a deadline half of the time: two share two cores well.
  maxWorkers: 2,
  testSequencer: '<rootDir>/test/longest-first.js',
};
