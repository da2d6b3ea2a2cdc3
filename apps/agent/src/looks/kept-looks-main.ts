/**
 * The process that looks at files for the agent. Started by KeptFileLooks, ends with its agent. Owns the messages; what it
 * says is CertainLooks'. A question that hangs keeps one of its threads, and nobody else.
 */
import '../small-memory.js';
import { CertainLooks } from './certain-looks.js';
import type { Answer, Question } from './kept-messages.js';

const looks = new CertainLooks();

async function answer(question: Question): Promise<Answer> {
  const { id, name, args } = question;
  try {
    const ask = looks[name] as (...args: unknown[]) => Promise<unknown>;
    return { id, certain: true, value: await ask.apply(looks, [...args]) };
  } catch {
    return { id, certain: false };
  }
}

process.on('message', (question: Question) => {
  // One that cannot be told is gone, and this process in a moment.
  void answer(question).then((said) => process.send?.(said, undefined, {}, () => undefined));
});
process.on('disconnect', () => process.exit(0));
// A service manager that stops the agent tells all of its processes; this one is wanted until the agent ends.
process.on('SIGTERM', () => undefined);
