/** `runtime commands list`: what was asked of the wizards of this home, newest first. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { statuses } from "../protocol/status.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { readStore } from "./known.ts"

const list = Command.make(
  "list",
  {
    home: homeFlag,
    state: Flag.Literals("state", [...statuses, "faulted"]).pipe(
      Flag.withDescription("only those in this state"),
      Flag.optional,
    ),
    most: Flag.Int("most").pipe(Flag.withDescription("how many at the most (default 50)"), Flag.withDefault(50)),
    json: jsonFlag,
  },
  ({ home, state, most, json }) =>
    Effect.sync(() => {
      if (most < 1) throw exit("usage", "--most takes a number from 1 on")
      const rows = readStore(homeFrom(home), (store) =>
        store.command.list(
          most,
          Option.getOrElse(state, () => ""),
        ),
      )
      if (json) return print(JSON.stringify(rows))
      for (const row of rows) {
        const title = row.body.split("\n")[0] ?? ""
        const reason = row.reason === null ? "" : `  (${row.reason})`
        print(
          `${row.id.slice(0, 8)}  ${row.wizard.padEnd(12)} ${row.state.padEnd(18)} ${new Date(row.since_ms).toISOString()}  ${title.slice(0, 60)}${reason}`,
        )
      }
      if (rows.length === 0) print("none")
    }),
).pipe(Command.withDescription("the commands of this home"))

export const commands = Command.make("commands").pipe(
  Command.withDescription("what was asked, and what became of it"),
  Command.withSubcommands([list]),
)
