/** `runtime roster show|history`: who is who by the version in force, and what each version changed. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { answerOf, historyOf } from "../runtime/roster-text.ts"
import { print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { heldRoster } from "./known.ts"

const question = (to: "show" | "history", description: string) =>
  Command.make(to, { home: homeFlag, json: jsonFlag }, ({ home, json }) =>
    Effect.sync(() => {
      const { roster, store } = heldRoster(homeFrom(home))
      print(
        store((opened) => {
          if (!json) return answerOf({ name: "roster", to }, roster, opened)
          return JSON.stringify(to === "show" ? roster : historyOf(opened))
        }),
      )
    }),
  ).pipe(Command.withDescription(description))

export const roster = Command.make("roster").pipe(
  Command.withDescription("who is who, as the council signed it"),
  Command.withSubcommands([
    question("show", "the version in force here"),
    question("history", "what each version changed, and when it came here"),
  ]),
)
