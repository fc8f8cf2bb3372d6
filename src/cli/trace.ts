/** `runtime trace show ID`: what happened to a command and its descendants, as a story with times. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { npubOf } from "../identity/keys.ts"
import type { UnsignedEvent } from "../protocol/event.ts"
import { readReceipt } from "../protocol/receipt.ts"
import type { CommandRow, JournalRow, OutboxRow, StoreShape } from "../store/store.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { readStore } from "./known.ts"

const show = Command.make(
  "show",
  {
    id: Argument.String("id").pipe(Argument.withDescription("of the command; its first 8 digits are enough")),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ id, home, json }) =>
    Effect.sync(() => {
      if (!/^[0-9a-f]{8,64}$/i.test(id)) throw exit("usage", `"${id}" is no id: at least its first 8 hex digits`)
      readStore(homeFrom(home), (store) => tell(store, id.toLowerCase(), json))
    }),
).pipe(Command.withDescription("the story of a command"))

export const trace = Command.make("trace").pipe(
  Command.withDescription("what happened"),
  Command.withSubcommands([show]),
)

const tell = (store: StoreShape, id: string, json: boolean): void => {
  const found = store.command.byId(id)
  if (found.length === 0) throw exit("notFound", `no command begins with ${id}`)
  if (new Set(found.map((row) => row.id)).size > 1) throw exit("usage", `${id} begins several ids: give more digits`)
  const rows = [...new Set(found.map((row) => row.trace))].flatMap((root) => store.command.byTrace(root))
  const stories = rows.map((row) => ({
    row,
    steps: store.journal.of(row.actor),
    effects: store.outbox.of(row.actor),
    attempts: store.attempt.of(row.actor),
    seenOn: seenOn(store, row),
  }))
  if (json) return print(JSON.stringify(stories))
  for (const { row, steps, effects, seenOn } of stories) {
    print(`${row.id}  @${row.wizard}  ${row.body.split("\n")[0] ?? ""}`)
    print(`  by ${npubOf(row.author)}, dated ${new Date(row.created_at * 1000).toISOString()}`)
    for (const [at, { relay, at_ms }] of seenOn.entries())
      print(`  ${at === 0 ? "by" : "also by"} ${relay}, ${new Date(at_ms).toISOString()}`)
    const first = steps[0]?.at_ms ?? 0
    for (const step of steps) {
      print(
        `  ${new Date(step.at_ms).toISOString()}  +${String(step.at_ms - first).padStart(6)} ms  ${says(step, effects)}`,
      )
    }
    const sent = effects.filter(({ kind }) => kind === "publish")
    const owed = sent.filter(({ state }) => state === "pending").length
    print(`  ${sent.length} events ${owed === 0 ? "sent" : `signed, ${owed} not answered by every relay yet`}`)
    if (row.reason !== null) print(`  reason: ${row.reason}`)
    if (row.result !== null) {
      const { text, artifact } = JSON.parse(row.result) as {
        text: string
        artifact?: { commit: string; branch: string; repo: string }
      }
      print(`  result: ${text.split("\n")[0] ?? ""}`)
      if (artifact !== undefined) print(`  commit: ${artifact.commit} on ${artifact.branch} of ${artifact.repo}`)
    }
  }
}

/** The relays that brought it, the first one first. */
const seenOn = (store: StoreShape, row: CommandRow): readonly { readonly relay: string; readonly at_ms: number }[] => [
  ...(row.relay === null ? [] : [{ relay: row.relay, at_ms: row.arrived_ms }]),
  ...store.seenOn.of(row.actor),
]

/** What came, and each state that was told of it. */
const says = (step: JournalRow, effects: readonly OutboxRow[]): string => {
  const event = JSON.parse(step.event) as { type: string; attempt?: number; reason?: string }
  const attempt = event.attempt === undefined ? "" : ` (attempt ${event.attempt})`
  const reason = event.reason === undefined ? "" : `: ${event.reason}`
  const told = effects
    .filter(({ kind, position }) => kind === "publish" && position === step.position)
    .flatMap(({ payload }) => readReceipt(JSON.parse(payload) as UnsignedEvent)?.status ?? [])
  const states = told.length === 0 ? step.state : told.join(", ")
  return `${event.type}${attempt}${reason} → ${states}${step.refused === 1 ? " (refused, nothing changed)" : ""}`
}
