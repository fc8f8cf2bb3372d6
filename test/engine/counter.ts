/** A durable actor for tests: it counts, refuses, throws, and arms timers. */
import { assign, setup } from "xstate"
import type { ActorEvent, ActorKind } from "../../src/engine/command-host.ts"

/** Adding beyond this throws. */
export const totalMax = 100

const intent =
  <Params>() =>
  (_args: unknown, _params: Params): void => {}

const tell = () =>
  ({
    type: "tell",
    params: ({ context }: { readonly context: { readonly total: number } }) => ({ total: context.total }),
  }) as const

export const counter: ActorKind = {
  version: 1,
  alarm: (timer) => ({ type: "rung", timer }),
  machine: setup({
    types: {
      context: {} as { readonly total: number },
      events: {} as ActorEvent,
      input: {} as { readonly from: number },
    },
    actions: {
      tell: intent<{ readonly total: number }>(),
      wake: intent<{ readonly timer: string; readonly dueMs: number }>(),
      unwake: intent<{ readonly timer: string }>(),
      refuse: intent<{ readonly event: string }>(),
      add: assign({ total: ({ context, event }) => sum(context.total, event["by"] as number) }),
      rung: assign({ total: ({ context }) => sum(context.total, 10) }),
    },
  }).createMachine({
    id: "counter",
    context: ({ input }) => ({ total: sum(0, input?.from ?? 0) }),
    initial: "counting",
    on: { "*": { actions: { type: "refuse", params: ({ event }) => ({ event: event.type }) } } },
    states: {
      counting: {
        on: {
          add: { actions: ["add", tell(), tell()] },
          rung: { actions: ["rung", tell()] },
          finish: { target: "finished", actions: tell() },
          arm: {
            actions: {
              type: "wake",
              params: ({ event }) => ({ timer: event["timer"] as string, dueMs: event["dueMs"] as number }),
            },
          },
          disarm: { actions: { type: "unwake", params: ({ event }) => ({ timer: event["timer"] as string }) } },
        },
      },
      finished: { type: "final" },
    },
  }),
}

const sum = (a: number, b: number): number => {
  if (a + b > totalMax) throw new Error(`${a + b} is more than ${totalMax}`)
  return a + b
}
