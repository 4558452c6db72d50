// @ts-check
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Nothing of `lib` may import these: layers, data and backends are met by their shape alone. */
const lowerDoors = {
  group: ['@tensorflow/*', '!@tensorflow/tfjs-core', '@tensorflow/tfjs-core/*'],
  message: 'lib knows tfjs-core alone, through its front door.',
};
const node = { regex: '^node:', message: 'lib runs in a browser too.' };

export default defineConfig(
  globalIgnores(['.node-gpu/', 'dist/', 'demo-output/', 'site/', 'spec/.tmp/', '.stryker-tmp/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // `list[i]!` says what noUncheckedIndexedAccess asks to be said.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Callers in JavaScript, and tfjs's own declarations, keep less than the types promise.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // tfjs's optimizers and variables are classes that stand in for one another.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // tfjs-core asks for `static get className()`.
      '@typescript-eslint/class-literal-property-style': 'off',
      '@typescript-eslint/array-type': 'off',
      '@typescript-eslint/dot-notation': [
        'error',
        {
          allowIndexSignaturePropertyAccess: true,
          allowPrivateClassPropertyAccess: true,
          allowProtectedClassPropertyAccess: true,
        },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/no-empty-function': ['error', { allow: ['arrowFunctions'] }],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true },
      ],
      // `async` alone makes a promise, and of what is thrown a rejection.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  {
    files: ['lib/**'],
    rules: {
      'max-lines': ['error', { max: 250 }], // with its comments
      'no-restricted-imports': ['error', { patterns: [lowerDoors, node] }],
      'no-restricted-globals': ['error', 'process', 'Buffer', 'global', 'require', 'window'],
    },
  },
  {
    // The door for Node, `tfjs-swa/node`, and the command.
    files: [
      'lib/node.ts',
      'lib/checkpoint/{atomic_write,file_errors,file_system,safetensors_file,temporary_files}.ts',
      'lib/cli/**',
    ],
    rules: {
      'no-restricted-imports': ['error', { patterns: [lowerDoors] }],
      'no-restricted-globals': ['error', 'global', 'require', 'window'],
    },
  },
  {
    // Specs and examples cast where tfjs's declarations are loose; `lib` says what it means.
    files: ['spec/**', 'examples/**'],
    rules: {
      '@typescript-eslint/dot-notation': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      '@typescript-eslint/no-unnecessary-type-conversion': 'off',
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      '@typescript-eslint/use-unknown-in-catch-callback-variable': 'off',
    },
  },
  {
    // Types are what it is about; nothing of it runs.
    files: ['spec/node/types/**'],
    rules: {
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unused-vars': 'off',
    },
  },
  {
    // Recorded traces are JSON of many shapes; stand-ins for loaders and layers do nothing.
    files: ['spec/**'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
