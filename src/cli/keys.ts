/** `runtime keys generate NAME`: a key file, 0600, made once and never overwritten; prints the public key. */
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { keyFile, npubOf, readOrCreateKey } from "../identity/keys.ts"
import { print, say } from "./exit.ts"
import { homeFlag, homeFrom } from "./flags.ts"

const generate = Command.make(
  "generate",
  { name: Argument.String("name").pipe(Argument.withDescription("whose key it is, as timmy")), home: homeFlag },
  ({ name, home }) =>
    Effect.sync(() => {
      const file = keyFile(homeFrom(home).explicit, name)
      const key = readOrCreateKey(file)
      if (!key.created) say(`${file} was there already; it is kept`)
      print(npubOf(key.pubkey))
    }),
).pipe(Command.withDescription("make a key pair"))

export const keys = Command.make("keys").pipe(Command.withDescription("key files"), Command.withSubcommands([generate]))
