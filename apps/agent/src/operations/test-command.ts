/**
 * A command for tests of the runner: makes and removes marks in a world that outlives the agent, with the shape of a real
 * one (steps for several subjects, a point of no return, undo by looking). Ships no behaviour of Holdfast.
 */
import { HoldfastError, type ErrorData } from '@holdfast/shared/errors/holdfast-error.js';
import type { Command, CommandHeader, StepContext, VmOutcomeName } from './command.js';

export interface MarkRequest {
  readonly header: CommandHeader;
  readonly marks: readonly string[];
}

/** What is really there: survives every death of the runner. */
export class World {
  readonly marks = new Set<string>();
  /** Every act, in order. */
  readonly acts: string[] = [];
  reliefs = 0;
  /** Called inside an act, before its effect; may throw or wait. */
  onAct: (act: string, context: StepContext) => Promise<void> | void = () => undefined;
  onRelieve: () => Promise<void> | void = () => undefined;

  async act(name: string, context: StepContext, effect: () => void): Promise<void> {
    this.acts.push(name);
    await this.onAct(name, context);
    effect();
  }
}

/**
 * Steps: mark each (in parallel), then the point of no return, then seal, then tidy. `alive` never answers once the agent
 * that has this command is taken for dead.
 */
export function markCommand(
  real: World,
  alive: () => Promise<void> = async () => undefined,
): Command<MarkRequest, { marked: number }> {
  const world = {
    marks: real.marks,
    act: async (name: string, context: StepContext, effect: () => void): Promise<void> => {
      await alive();
      await real.act(name, context, effect);
    },
  };
  return {
    kind: 'TakeBackup',
    codec: {
      encode: (request) => ({ ...request, header: { ...request.header, fencingToken: String(request.header.fencingToken) } }),
      decode: (json) => {
        const request = json as unknown as MarkRequest;
        return { ...request, header: { ...request.header, fencingToken: BigInt(request.header.fencingToken) } };
      },
    },
    resultCodec: { encode: (result) => result, decode: (json) => json as { marked: number } },
    async relieve() {
      real.reliefs += 1;
      real.acts.push('relieve');
      await real.onRelieve();
    },
    async run(request, context) {
      const made = await Promise.all(
        request.marks.map((mark) =>
          context.step('mark', mark, { name: mark }, async (intent) => {
            await world.act(`mark ${intent.name}`, context, () => world.marks.add(intent.name));
            return 1;
          }),
        ),
      );
      await context.pointOfNoReturn();
      await context.step('seal', '', {}, async () => {
        await world.act('seal', context, () => world.marks.add('sealed'));
        return null;
      });
      await context.step('tidy', '', {}, async () => {
        await world.act('tidy', context, () => undefined);
        return null;
      });
      return { result: { marked: made.length }, vmOutcome: 'AsAfter' };
    },
    async undo(request, context): Promise<{ vmOutcome: VmOutcomeName; error?: ErrorData }> {
      for (const mark of request.marks) {
        await context.step('undo-mark', mark, {}, async () => {
          await world.act(`unmark ${mark}`, context, () => world.marks.delete(mark));
          return null;
        });
      }
      if (world.marks.has('sealed')) throw new HoldfastError('BUG', 'Undo after the point of no return.');
      return { vmOutcome: 'AsBefore' };
    },
  };
}

let nextOperation = 0;

/** A request with an operation id of its own. */
export function markRequest(wish: Partial<CommandHeader> & { marks?: readonly string[] } = {}): MarkRequest {
  nextOperation += 1;
  const { marks = ['a', 'b'], ...header } = wish;
  return {
    header: {
      operationId: `00000000-0000-4000-8000-${String(nextOperation).padStart(12, '0')}`,
      vmUuid: '11111111-1111-4111-8111-111111111111',
      vmName: 'a "vm"',
      fencingToken: 1n,
      timeoutSeconds: 0,
      ...header,
    },
    marks,
  };
}
