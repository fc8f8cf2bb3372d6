/** `runtime admit NAME npub…` and `runtime expel NAME npub…`: which keys are wizards of the council. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { wizardClasses } from "../protocol/roster.ts"
import { homeFlag, jsonFlag } from "./flags.ts"
import { keyArgument, keyOf, nameOf, order, wizardArgument } from "./order.ts"

export const admit = Command.make(
  "admit",
  {
    name: wizardArgument,
    key: keyArgument,
    class: Flag.Literals("class", wizardClasses).pipe(
      Flag.withDescription("what a wizard with a name of your own is"),
      Flag.optional,
    ),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ name, key, class: given, home, json }) =>
    Effect.suspend(() => {
      const className = Option.getOrUndefined(given)
      const wizard = { wizard: nameOf(name), pubkey: keyOf(key), ...(className !== undefined && { class: className }) }
      return order({ home, json, order: { name: "admit", ...wizard } })
    }),
).pipe(Command.withDescription("make a key a wizard of the council"))

export const expel = Command.make(
  "expel",
  {
    name: wizardArgument,
    key: keyArgument,
    revoke: Flag.Boolean("revoke").pipe(
      Flag.withDescription("its key never again, whatever it signs (it leaked)"),
      Flag.withDefault(false),
    ),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ name, key, revoke, home, json }) =>
    Effect.suspend(() =>
      order({ home, json, order: { name: "expel", wizard: nameOf(name), pubkey: keyOf(key), revoke } }),
    ),
).pipe(Command.withDescription("a wizard is one no more"))
