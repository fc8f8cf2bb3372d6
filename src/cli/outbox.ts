/** `runtime outbox list|resend|drop`: what relays refused of what wizards had to say, and what still waits for them. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { UnsignedEvent } from "../protocol/event.ts"
import { askControl, type ControlVerb } from "../runtime/control.ts"
import { everyDeadLetter } from "../runtime/dead-letters.ts"
import type { StoreShape } from "../store/store.ts"
import { exit, print, say } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { readStore } from "./known.ts"

const list = Command.make(
  "list",
  {
    home: homeFlag,
    most: Flag.Int("most").pipe(Flag.withDescription("how many at the most (default 50)"), Flag.withDefault(50)),
    json: jsonFlag,
  },
  ({ home, most, json }) =>
    Effect.sync(() => {
      if (most < 1) throw exit("usage", "--most takes a number from 1 on")
      const { dead, waiting } = readStore(homeFrom(home), (store) => outboxOf(store, most))
      if (json) return print(JSON.stringify({ dead, waiting }))
      for (const { event, wizard, kind, effect, refused, error } of dead) {
        print(`${event.slice(0, 12)}  ${wizard}  kind ${kind}  ${effect}`)
        if (refused.length === 0) print(`  ${error}`)
        for (const each of refused) print(`  ${each.relay}: ${each.error} (tried ${each.tries}×)`)
      }
      if (dead.length === 0) print("no dead letters")
      for (const { wizard, relay, events } of waiting) print(`${wizard} at ${relay}: ${events} wait`)
    }),
).pipe(Command.withDescription("what relays refused, and how much waits for each"))

/** Dead letters in their order, and what waits, by wizard and relay. */
const outboxOf = (store: StoreShape, most: number) => ({
  dead: store.outbox.deadLetters(most).map((row) => ({
    effect: row.effect,
    event: row.event_id ?? "",
    wizard: row.owner,
    kind: (JSON.parse(row.payload) as UnsignedEvent).kind,
    /** `dead` where no relay took it; else those that did have it. */
    state: row.state,
    error: row.error,
    refused: store.delivery
      .of(row)
      .filter(({ state }) => state === "refused")
      .map(({ relay, tries, error }) => ({ relay, tries, error })),
  })),
  waiting: backlogOf(store),
})

/** How many events wait, by wizard and relay, as the store knows it. */
export const backlogOf = (store: StoreShape) => {
  const relays = JSON.parse(store.setting.get("runtime", "relays") ?? "[]") as string[]
  return store.outbox
    .owners("publish")
    .flatMap((wizard) =>
      relays.map((relay) => ({ wizard, relay, events: store.outbox.countUnanswered("publish", wizard, relay) })),
    )
    .filter(({ events }) => events > 0)
}

const which = {
  which: Argument.String("which").pipe(
    Argument.withDescription("the effect, or the event's id; its first 8 digits are enough"),
    Argument.optional,
  ),
  all: Flag.Boolean("all").pipe(Flag.withDescription("all dead letters"), Flag.withDefault(false)),
  home: homeFlag,
}

/** Only the process that holds the home may write what is owed. */
const ask = (verb: ControlVerb, given: { which: Option.Option<string>; all: boolean; home: Option.Option<string> }) =>
  Effect.tryPromise({
    try: async () => {
      if (given.all === Option.isSome(given.which))
        throw exit("usage", "say which dead letter: its effect, the beginning of its id, or --all")
      const reply = await askControl(homeFrom(given.home).control, verb, {
        which: Option.getOrElse(given.which, () => everyDeadLetter),
      })
      if (reply === undefined)
        throw exit("notFound", "no runtime runs on this home, and only it may write there: runtime start --role …")
      return reply as { readonly count: number; readonly away?: readonly string[] }
    },
    catch: (error) => error,
  })

const lettersOf = (count: number): string => (count === 1 ? "1 dead letter" : `${count} dead letters`)

const resend = Command.make("resend", which, (given) =>
  ask("outbox-resend", given).pipe(
    Effect.map(({ count, away = [] }) => {
      print(`${lettersOf(count)} on the way again, as signed before`)
      for (const name of away) say(`${name} does not run here: what it has to say goes out when it does`)
    }),
  ),
).pipe(Command.withDescription("send dead letters again, to the relays that refused them"))

const drop = Command.make("drop", which, (given) =>
  ask("outbox-drop", given).pipe(Effect.map(({ count }) => print(`${lettersOf(count)} dropped`))),
).pipe(Command.withDescription("want no more of dead letters"))

export const outbox = Command.make("outbox").pipe(
  Command.withDescription("what wizards have to say to relays"),
  Command.withSubcommands([list, resend, drop]),
)
