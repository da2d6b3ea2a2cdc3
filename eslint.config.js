// Lint: typed rules, small files, module borders, and the globals that must come in through ports.
import tseslint from 'typescript-eslint';
import boundaries from 'eslint-plugin-boundaries';

/** One border: files of `from` may not import from `to`. */
function border(from, to, message) {
  return { from: { element: { type: from } }, disallow: { to: { element: { types: { anyOf: to } } } }, message };
}

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '.toolchain/**', 'packages/shared/src/wire/generated/**', '.work/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-extraneous-class': 'off',
      'max-lines': ['error', { max: 400, skipComments: true, skipBlankLines: true }],
      eqeqeq: 'error',
    },
  },
  {
    // Borders of the house: see ARCHITECTURE.md. A folder is an element; tests may look everywhere.
    files: ['packages/shared/src/*/**/*.ts', 'apps/*/src/*/**/*.ts'],
    ignores: ['**/*.test.ts', '**/testing/**'],
    plugins: { boundaries },
    settings: {
      'import/resolver': {
        typescript: { project: ['packages/*/tsconfig.json', 'apps/*/tsconfig.json'], noWarnOnMultipleProjects: true },
      },
      'boundaries/elements': [
        { type: 'wire', pattern: 'packages/shared/src/wire' },
        { type: 'shared', pattern: 'packages/shared/src/*' },
        { type: 'agent-door', pattern: 'apps/agent/src/server' },
        { type: 'agent-commands', pattern: 'apps/agent/src/commands' },
        { type: 'agent-operations', pattern: 'apps/agent/src/operations' },
        { type: 'agent-start', pattern: 'apps/agent/src/(config|certificates)' },
        { type: 'agent-adapter', pattern: 'apps/agent/src/*' },
        { type: 'manager-gateway', pattern: 'apps/manager/src/gateway' },
        { type: 'manager-agents', pattern: 'apps/manager/src/agents' },
        { type: 'manager-base', pattern: 'apps/manager/src/(access|platform|persistence|config|events|certificates)' },
        { type: 'manager', pattern: 'apps/manager/src/*' },
        { type: 'cli', pattern: 'apps/cli/src/*' },
      ],
    },
    rules: {
      'boundaries/dependencies': [
        'error',
        {
          default: 'allow',
          policies: [
            border('shared', ['wire', 'agent-*', 'manager*', 'cli'], 'Rules know no wire and no program.'),
            border(
              'agent-adapter',
              ['agent-commands', 'agent-door', 'agent-start', 'wire'],
              'Adapters know no command, no door and no wire.',
            ),
            border('agent-operations', ['agent-commands', 'agent-door', 'agent-start', 'wire'], 'The runner knows no command.'),
            border('agent-commands', ['agent-door', 'agent-start', 'wire'], 'Commands know no door and no wire.'),
            border('agent-*', ['manager*', 'cli'], 'Programs do not import each other.'),
            border(
              'manager-base',
              ['manager', 'manager-gateway', 'manager-agents', 'wire'],
              'What services stand on knows no service.',
            ),
            border('manager', ['manager-gateway', 'wire', 'agent-*', 'cli'], 'Services know no door and no wire.'),
            border('manager-*', ['agent-*', 'cli'], 'Programs do not import each other.'),
            border('cli', ['agent-*', 'manager*', 'wire'], 'The command line speaks the public API alone.'),
          ],
        },
      ],
    },
  },
  {
    // Rules are data in, data out: no process, no clock, no framework.
    files: ['packages/shared/src/**/*.ts'],
    ignores: ['**/*.test.ts', 'packages/shared/src/wire/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        { patterns: ['node:child_process', 'node:fs*', 'execa', '@nestjs/*', 'typeorm', 'pg', '@grpc/*', '@holdfast/*'] },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Time comes in as data.' },
        { object: 'Math', property: 'random', message: 'Randomness comes in as data.' },
      ],
      'no-restricted-globals': ['error', 'process', 'setTimeout', 'setInterval'],
    },
  },
  {
    files: ['apps/**/*.ts', 'test/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            { group: ['@holdfast/shared/wire/generated/*'], message: 'Wire types stay in the doors and their mapping.' },
          ],
          paths: [
            {
              name: 'node:child_process',
              message: 'Children are started by the process ports (execa, argument arrays, deadlines).',
            },
          ],
        },
      ],
    },
  },
  {
    // The places that map the wire's types, and what tests them.
    files: [
      'apps/agent/src/server/**',
      'apps/manager/src/agents/**',
      'apps/manager/src/gateway/grpc/**',
      '**/testing/**',
      '**/*.test.ts',
    ],
    rules: { 'no-restricted-imports': 'off' },
  },
);
