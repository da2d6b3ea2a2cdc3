/** What the agent asks the process that looks at files, and what that one says. Owns these words. */
import type { FileLooks } from './file-looks.js';

type Asked = { [Name in keyof FileLooks]: { readonly name: Name; readonly args: Parameters<FileLooks[Name]> } }[keyof FileLooks];

/** `id`: never used before in this process. */
export type Question = Asked & { readonly id: number };

/** Without `value`: it cannot be said for certain, or not by this process. */
export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  /** There is an answer, and it may be undefined. */
  readonly certain: boolean;
}
