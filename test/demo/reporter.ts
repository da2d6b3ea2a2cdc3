/** What the demo prints: acts, commands as an operator types them, their answers, and what each act took. */

export interface ActTime {
  readonly title: string;
  readonly seconds: number;
}

export class Reporter {
  readonly times: ActTime[] = [];

  constructor(private readonly write: (text: string) => void) {}

  /** Runs one act under its title and keeps its time. */
  async act<T>(title: string, work: () => Promise<T>): Promise<T> {
    this.write(`\n${String(this.times.length + 1).padStart(2)}. ${title}\n`);
    const started = performance.now();
    const result = await work();
    this.times.push({ title, seconds: (performance.now() - started) / 1000 });
    return result;
  }

  /** A command as it is typed. */
  command(text: string): void {
    this.write(`    $ ${text}\n`);
  }

  /** What a command answered, or a fact. */
  text(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.write(`      ${line}\n`);
  }

  /** The table of what each act took. */
  timeTable(): void {
    const width = Math.max(...this.times.map(({ title }) => title.length));
    this.write('\nWhat each step took\n');
    for (const { title, seconds } of this.times) this.write(`  ${title.padEnd(width)}  ${seconds.toFixed(1).padStart(6)} s\n`);
    const total = this.times.reduce((sum, { seconds }) => sum + seconds, 0);
    this.write(`  ${'together'.padEnd(width)}  ${total.toFixed(1).padStart(6)} s\n`);
  }
}
