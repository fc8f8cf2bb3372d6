/**
 * Orders about the roster, as the CLI gives them: to the process that runs on this home, else carried out here. Only
 * the home that keeps the council's secret can.
 */
import { Effect, type Option } from "effect"
import { Argument } from "effect/cli"
import { parsePublicKey } from "../identity/keys.ts"
import { printOrder, type Order } from "../protocol/orders.ts"
import { isName } from "../protocol/roster.ts"
import { orderAtRest } from "../runtime/at-rest.ts"
import { askControl } from "../runtime/control.ts"
import type { Carried } from "../runtime/desk.ts"
import { live } from "../runtime/live.ts"
import { exit, print, say } from "./exit.ts"
import { configOf, homeFrom } from "./flags.ts"

/** `self` is the wizard that joins or leaves. Prints what was done. */
export const order = (asked: {
  readonly home: Option.Option<string>
  readonly order: Order
  readonly self?: string
  readonly json?: boolean
}): Effect.Effect<void, unknown> =>
  Effect.gen(function* () {
    const home = homeFrom(asked.home)
    const self = asked.self ?? ""
    const told = yield* Effect.tryPromise({
      try: () => askControl(home.control, "order", { text: printOrder(asked.order), self }),
      catch: (error) => error,
    })
    const warn = (message: string): void => say(`! ${message}`)
    const { limits } = configOf(home)
    const carried =
      (told as Carried | undefined) ??
      (yield* Effect.scoped(orderAtRest({ home, limits, order: asked.order, self, warn })).pipe(Effect.provide(live)))
    print(asked.json === true ? JSON.stringify(carried) : carried.said)
  })

export const keyArgument = Argument.String("npub").pipe(Argument.withDescription("a public key: npub1…, or hex"))

export const channelArgument = Argument.String("channel").pipe(
  Argument.withDescription('as workers, or "#workers" in quotes'),
)

export const wizardArgument = Argument.String("name").pipe(Argument.withDescription("of the wizard, as timmy"))

/** Throws with exit code 2 (PublicKeyMalformed). */
export const keyOf = parsePublicKey

/** The name of a channel, with or without its mark. Throws with exit code 2. */
export const channelOf = (given: string): string => nameOf(given.replace(/^#/, ""))

/** Throws with exit code 2. */
export const nameOf = (given: string): string => {
  const name = given.toLowerCase()
  if (!isName(name)) throw exit("usage", `"${given}" is no name: a to z, 0 to 9, _ and -, at most 32`)
  return name
}
