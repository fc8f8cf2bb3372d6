/** `runtime instance claim`: a person says that this machine's wizard is the one, where another has the same key. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { askControl } from "../runtime/control.ts"
import { exit, print } from "./exit.ts"
import { homeFlag, homeFrom } from "./flags.ts"

const claim = Command.make(
  "claim",
  { home: homeFlag, role: Flag.String("role").pipe(Flag.withDescription("only this wizard"), Flag.optional) },
  ({ home, role }) =>
    Effect.tryPromise({
      try: async () => {
        const reply = await askControl(
          homeFrom(home).control,
          "claim",
          Option.isSome(role) ? { wizard: role.value } : {},
        )
        if (reply === undefined) throw exit("notFound", "no runtime runs on this home: start it, then claim")
        const { claimed } = reply as { readonly claimed: readonly string[] }
        print(
          claimed.length === 0
            ? "nothing to claim: no wizard here yields to another instance"
            : `claimed: ${claimed.join(", ")}; stop the other one, or it goes on as well`,
        )
      },
      catch: (error) => error,
    }),
).pipe(Command.withDescription("this instance of the key is the one that works"))

export const instance = Command.make("instance").pipe(
  Command.withDescription("one key, one living wizard"),
  Command.withSubcommands([claim]),
)
