/** `runtime ps`: the supervision tree of the running process, with states, restarts and their reasons. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { askControl } from "../runtime/control.ts"
import type { SupervisorTree } from "../runtime/supervisor.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"

interface Ps {
  readonly tree: SupervisorTree
  readonly wizards: readonly {
    name: string
    state: string
    open: number
    queued: number
    relays: { url: string; state: string; lastError: string | null }[]
  }[]
  readonly counts: Readonly<Record<string, number>>
}

export const ps = Command.make("ps", { home: homeFlag, json: jsonFlag }, ({ home, json }) =>
  Effect.tryPromise({
    try: async () => {
      const reply = (await askControl(homeFrom(home).control, "ps")) as Ps | undefined
      if (reply === undefined) throw exit("notFound", "no runtime runs on this home: runtime start --role timmy")
      if (json) return print(JSON.stringify(reply))
      for (const line of branch(reply.tree, "")) print(line)
      for (const { name, state, open, queued, relays } of reply.wizards) {
        print(`${name}: ${state}, ${open} under way, ${queued} waiting`)
        for (const relay of relays)
          print(`  ${relay.url}: ${relay.state}${relay.lastError === null ? "" : ` (last: ${relay.lastError})`}`)
      }
      for (const [reason, count] of Object.entries(reply.counts)) print(`ignored: ${count} ${reason}`)
    },
    catch: (error) => error,
  }),
).pipe(Command.withDescription("what runs, and how often it was restarted"))

const branch = (tree: SupervisorTree, indent: string): readonly string[] => [
  `${indent}${tree.name} (${tree.strategy})`,
  ...tree.children.flatMap((child) => {
    const restarts = child.restarts === 0 ? "" : `, restarted ${child.restarts}×: ${child.lastReason}`
    return child.tree === null
      ? [`${indent}  ${child.name}: ${child.state}${restarts}`]
      : branch(child.tree, `${indent}  `)
  }),
]
