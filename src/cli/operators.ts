/** `runtime operators list|add|remove`: who commands the council. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { npubOf } from "../identity/keys.ts"
import { answerOf } from "../runtime/roster-text.ts"
import { print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { heldRoster } from "./known.ts"
import { keyArgument, keyOf, order } from "./order.ts"

const list = Command.make("list", { home: homeFlag, json: jsonFlag }, ({ home, json }) =>
  Effect.sync(() => {
    const { roster, store } = heldRoster(homeFrom(home))
    if (!json) return print(store((opened) => answerOf({ name: "operators", to: "list" }, roster, opened)))
    print(JSON.stringify(roster.operators.map(({ pubkey, label }) => ({ npub: npubOf(pubkey), pubkey, label }))))
  }),
).pipe(Command.withDescription("who commands"))

const add = Command.make(
  "add",
  {
    key: keyArgument,
    label: Flag.String("label").pipe(Flag.withDescription("what people call them, one word"), Flag.optional),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ key, label, home, json }) =>
    Effect.suspend(() => {
      const given = Option.getOrUndefined(label)?.trim().replaceAll(/\s+/g, "-")
      const asked = { name: "operators", to: "add", pubkey: keyOf(key), ...(given && { label: given }) } as const
      return order({ home, json, order: asked })
    }),
).pipe(Command.withDescription("somebody may command everything"))

const remove = Command.make("remove", { key: keyArgument, home: homeFlag, json: jsonFlag }, ({ key, home, json }) =>
  Effect.suspend(() => order({ home, json, order: { name: "operators", to: "remove", pubkey: keyOf(key) } })),
).pipe(Command.withDescription("somebody commands no more; what they had ordered is cancelled"))

export const operators = Command.make("operators").pipe(
  Command.withDescription("who commands the council"),
  Command.withSubcommands([list, add, remove]),
)
