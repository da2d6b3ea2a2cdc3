/**
 * The journals of operations on disk: `<stateDir>/operations/<operation id>/` with `request.json` (what was accepted) and
 * `journal.jsonl` (what happened since). Owns their durability: an entry that was appended survives a power loss. Decides
 * nothing. The state directory is the agent's own disk, never a target, so this is in-process I/O.
 */
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/shared/errors/holdfast-error.js';
import { makeStateDirectory, syncDirectory, writeSynced } from './durable-file.js';
import { journalLine, parseJournal } from './journal-lines.js';
import type { AcceptedOperation, JournalEntry } from './operation-view.js';

const REQUEST_FILE = 'request.json';
const JOURNAL_FILE = 'journal.jsonl';
/** Folders with this first character are on their way in or out: no operation, removed at start. */
const TRANSIENT = '.';

/** One operation's journal, open for appending. Appends are written in the order of the calls. */
export class Journal {
  private tail: Promise<unknown> = Promise.resolve();
  private damaged: unknown;

  private constructor(
    readonly accepted: AcceptedOperation,
    readonly entries: JournalEntry[],
    private readonly path: string,
    private file: FileHandle,
  ) {}

  /** Opens a journal, cuts a torn tail off and makes what is left durable. */
  static async open(folder: string): Promise<Journal> {
    const requestPath = join(folder, REQUEST_FILE);
    const accepted = parseAccepted(await readFile(requestPath, 'utf8'), requestPath);
    const path = join(folder, JOURNAL_FILE);
    const { entries, file } = await openEntries(path);
    return new Journal(accepted, entries, path, file);
  }

  /**
   * Appends an entry and returns when it is durable. After a failure (the state's disk is full) nothing more is written
   * until `reopen`, so that no entry follows one that may be torn.
   */
  append(entry: JournalEntry): Promise<void> {
    const done = this.tail.then(async () => {
      if (this.damaged !== undefined) throw this.damaged;
      try {
        await this.file.appendFile(journalLine(entry));
        await this.file.datasync();
      } catch (cause) {
        this.damaged = cause;
        throw cause;
      }
      this.entries.push(entry);
    });
    this.tail = done.catch(() => undefined);
    return done;
  }

  /** Reads back what is really on disk after a failed append, as a restart would. */
  async reopen(): Promise<void> {
    await this.tail;
    await this.file.close().catch(() => undefined);
    const { entries, file } = await openEntries(this.path);
    this.file = file;
    this.entries.splice(0, this.entries.length, ...entries);
    this.damaged = undefined;
  }

  /** No appends any more; the entries stay readable. May be called again. */
  async close(): Promise<void> {
    await this.tail;
    this.damaged = new Error(`The journal ${this.path} is closed.`);
    await this.file.close();
  }
}

async function openEntries(path: string): Promise<{ entries: JournalEntry[]; file: FileHandle }> {
  const file = await open(path, 'a+', 0o600);
  try {
    const bytes = await readFile(path);
    const { entries, wholeBytes } = parseJournal(bytes, path);
    // What is whole may be in memory only as well: the agent died before it was synced. A new one has nothing.
    if (bytes.length > 0) {
      await file.truncate(wholeBytes);
      await file.sync();
    }
    return { entries, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function parseAccepted(text: string, file: string): AcceptedOperation {
  try {
    return JSON.parse(text) as AcceptedOperation;
  } catch (cause) {
    throw new HoldfastError(
      'BUG',
      `The file ${file} is damaged. Nothing was done with its operation; keep the file and report it, then move its folder away.`,
      { file },
      { cause },
    );
  }
}

/** All journals of this agent. */
export class JournalStore {
  private readonly root: string;

  constructor(stateDir: string) {
    this.root = join(stateDir, 'operations');
  }

  /** Makes the directory, clears what a crash left half-made, and opens every journal. Damage is an error that names the file. */
  async openAll(): Promise<Journal[]> {
    await makeStateDirectory(this.root);
    const names = await readdir(this.root);
    const journals: Journal[] = [];
    for (const name of names) {
      if (name.startsWith(TRANSIENT)) await rm(join(this.root, name), { recursive: true, force: true });
      else journals.push(await Journal.open(join(this.root, name)));
    }
    return journals;
  }

  /** A new operation: its folder appears whole or not at all. */
  async create(accepted: AcceptedOperation): Promise<Journal> {
    const temporary = join(this.root, `${TRANSIENT}new-${accepted.operationId}`);
    const folder = join(this.root, accepted.operationId);
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { mode: 0o700 });
    // Whatever is torn in here is removed with the folder.
    await writeSynced(join(temporary, REQUEST_FILE), `${JSON.stringify(accepted)}\n`);
    await writeSynced(join(temporary, JOURNAL_FILE), '');
    await syncDirectory(temporary);
    await rename(temporary, folder);
    await syncDirectory(this.root);
    return Journal.open(folder);
  }

  /** Removes an operation's folder; absent is fine. */
  async remove(operationId: string): Promise<void> {
    const trash = join(this.root, `${TRANSIENT}forgotten-${operationId}`);
    try {
      await rename(join(this.root, operationId), trash);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    await syncDirectory(this.root);
    await rm(trash, { recursive: true, force: true });
  }
}
