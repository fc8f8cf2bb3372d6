/** `runtime admit NAME npub…`: writes the roster version that makes a key a wizard of the council. */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { parsePublicKey } from "../identity/keys.ts"
import { classOfName } from "../roles/roles.ts"
import { askControl } from "../runtime/control.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom } from "./flags.ts"

export const admit = Command.make(
  "admit",
  {
    name: Argument.String("name").pipe(Argument.withDescription("of the wizard, as timmy")),
    key: Argument.String("npub").pipe(Argument.withDescription("its public key, as its own start shows it")),
    class: Flag.String("class").pipe(
      Flag.withDescription("worker, researcher, implementation, local, tempo, monitor"),
      Flag.optional,
    ),
    home: homeFlag,
  },
  ({ name, key, class: given, home }) =>
    Effect.tryPromise({
      try: async () => {
        const className = Option.getOrElse(given, () => classOfName(name))
        if (className === undefined)
          throw exit("usage", `nobody knows a wizard called ${name}: say what it is with --class`)
        const reply = await askControl(homeFrom(home).control, "admit", {
          name,
          pubkey: parsePublicKey(key),
          class: className,
        })
        if (reply === undefined)
          throw exit(
            "notFound",
            "no runtime runs on this home: runtime start --role … where the council's secret is, then admit",
          )
        print(
          `${name} is admitted by roster version ${(reply as { version: number }).version}; it is on its way to the relays`,
        )
      },
      catch: (error) => error,
    }),
).pipe(Command.withDescription("admit a wizard to the council"))
