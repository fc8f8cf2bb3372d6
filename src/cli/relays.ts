/** `runtime relays list|ping|add|remove`: the relays of this home, while wizards run on them. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import type { RelayReport } from "../../actors/relay-connection.ts"
import { limits } from "../limits.ts"
import { askControl, type ControlVerb } from "../runtime/control.ts"
import { pingRelay } from "../runtime/ping.ts"
import { systemClock } from "../services/clock.ts"
import { webSocket } from "../services/socket.ts"
import type { StoreShape } from "../store/store.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag, relayUrl } from "./flags.ts"
import { readStore } from "./known.ts"
import { backlogOf } from "./outbox.ts"

const urlArgument = Argument.String("url").pipe(Argument.withDescription("ws:// or wss://"))

interface Listed extends RelayReport {
  readonly wizard: string
  /** Events that it has not answered. */
  readonly backlog: number
}

const list = Command.make("list", { home: homeFlag, json: jsonFlag }, ({ home, json }) =>
  Effect.tryPromise({
    try: async () => {
      const running = (await askControl(homeFrom(home).control, "relays")) as readonly Listed[] | undefined
      const listed = running ?? readStore(homeFrom(home), known)
      if (json) return print(JSON.stringify({ running: running !== undefined, relays: listed }))
      if (running === undefined) print("no runtime runs on this home; as it was left:")
      for (const each of listed) print("state" in each ? lineOf(each) : leftOf(each))
    },
    catch: (error) => error,
  }),
).pipe(Command.withDescription("each wizard's connections, and what waits there"))

const lineOf = (each: Listed): string => {
  const since = new Date(each.sinceMs).toISOString()
  const latency = each.latencyMs === null ? "" : `, ${each.latencyMs} ms`
  const error = each.lastError === null ? "" : ` (last: ${each.lastError})`
  return `${each.wizard}  ${each.url}  ${each.state} since ${since}${latency}, ${each.eventsIn} in, ${each.eventsOut} out, ${each.backlog} wait${error}`
}

/** What the store knows of relays while nothing runs. */
const known = (store: StoreShape) => {
  const relays = JSON.parse(store.setting.get("runtime", "relays") ?? "[]") as string[]
  const waiting = backlogOf(store)
  return relays.map((url) => ({ url, waiting: waiting.filter(({ relay }) => relay === url) }))
}

const leftOf = ({ url, waiting }: ReturnType<typeof known>[number]): string =>
  [url, ...waiting.map(({ wizard, events }) => `${events} of ${wizard} wait`)].join("  ")

const ping = Command.make("ping", { url: urlArgument, json: jsonFlag }, ({ url, json }) =>
  Effect.tryPromise({
    try: async () => {
      const pinged = await pingRelay({ url: relayUrl(url), socket: webSocket, clock: systemClock, limits })
      if (json) return print(JSON.stringify(pinged))
      print(`${pinged.url}: there in ${pinged.connectMs} ms, answers in ${pinged.answerMs} ms (${pinged.answer})`)
      const { information } = pinged
      if (information === null) return print("it says nothing of itself (NIP-11)")
      const { name, software, version, supported_nips: nips, limitation } = information
      print(`${name ?? "no name"}  ${[software, version].filter((part) => part !== undefined).join(" ")}`.trimEnd())
      if (nips !== undefined) print(`NIPs ${nips.join(", ")}`)
      for (const [key, value] of Object.entries(limitation ?? {})) print(`${key}: ${JSON.stringify(value)}`)
    },
    catch: (error) => error,
  }),
).pipe(Command.withDescription("how fast a relay answers, and what it says of itself"))

/** Only the process that holds the home may change them. */
const change = (verb: ControlVerb, does: string) =>
  Command.make(does, { url: urlArgument, home: homeFlag }, ({ url, home }) =>
    Effect.tryPromise({
      try: async () => {
        const reply = await askControl(homeFrom(home).control, verb, { url: relayUrl(url) })
        if (reply === undefined)
          throw exit(
            "notFound",
            "no runtime runs on this home: runtime start --role …, or name its relays with --relay",
          )
        print(`${(reply as { url: string }).url}: ${does === "add" ? "added" : "removed"}, now and for later starts`)
      },
      catch: (error) => error,
    }),
  )

const add = change("relays-add", "add").pipe(Command.withDescription("use one more relay, from now on"))
const remove = change("relays-remove", "remove").pipe(Command.withDescription("use a relay no more"))

export const relays = Command.make("relays").pipe(
  Command.withDescription("the relays of this home"),
  Command.withSubcommands([list, ping, add, remove]),
)
