/** `runtime rebuild --from URL`: what a relay knows of this home's wizards, into a database that was lost. */
import { existsSync, readFileSync } from "node:fs"
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { parsePublicKey } from "../identity/keys.ts"
import { live } from "../runtime/live.ts"
import { rebuild as rebuildHome } from "../runtime/rebuild.ts"
import { exit, print, say } from "./exit.ts"
import { configOf, homeFlag, homeFrom, jsonFlag, relayUrl } from "./flags.ts"

export const rebuild = Command.make(
  "rebuild",
  {
    from: Flag.String("from").pipe(Flag.withDescription("the relay to read")),
    council: Flag.String("council").pipe(
      Flag.withDescription("the public key of the council (default: the one that this home obeys)"),
      Flag.optional,
    ),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ from, council, home: given, json }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const home = homeFrom(given)
        const pinned = existsSync(home.pin) ? readFileSync(home.pin, "utf8") : undefined
        const named = Option.getOrElse(council, () => pinned)
        if (named === undefined) return yield* Effect.fail(exit("usage", "say whose roster counts: --council npub1…"))
        const { limits } = configOf(home)
        const warn = (message: string): void => say(`! ${message}`)
        const rebuilt = yield* rebuildHome({ home, url: relayUrl(from), council: parsePublicKey(named), limits, warn })
        if (json) return print(JSON.stringify(rebuilt))
        print(
          `${rebuilt.commands} commands of ${rebuilt.wizards.join(", ")}, by ${rebuilt.receipts} receipts; ${rebuilt.artifacts} artifacts`,
        )
        print(`roster version ${rebuilt.rosterVersion}; nothing was started or sent`)
        if (rebuilt.interrupted > 0)
          print(`${rebuilt.interrupted} had not ended and wait for you: retry or cancel them`)
        print("not restored:")
        for (const what of rebuilt.missing) print(`  ${what}`)
      }),
    ),
).pipe(Command.withDescription("restore a lost database from a relay; starts nothing"), Command.provide(live))
