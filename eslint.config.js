// Lint: typed rules, small files, module borders, and the globals that must come in through ports.
import tseslint from 'typescript-eslint';
import boundaries from 'eslint-plugin-boundaries';

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
    files: ['packages/**/*.ts', 'apps/**/*.ts', 'test/**/*.ts'],
    plugins: { boundaries },
    settings: {
      'import/resolver': { typescript: { alwaysTryTypes: true } },
      'boundaries/elements': [
        { type: 'shared', pattern: 'packages/shared/src', mode: 'folder' },
        { type: 'agent', pattern: 'apps/agent/src', mode: 'folder' },
        { type: 'manager', pattern: 'apps/manager/src', mode: 'folder' },
        { type: 'cli', pattern: 'apps/cli/src', mode: 'folder' },
        { type: 'test', pattern: 'test', mode: 'folder' },
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
          paths: [{ name: 'node:child_process', message: 'Children are started by the process ports (execa, argument arrays, deadlines).' }],
        },
      ],
    },
  },
);
