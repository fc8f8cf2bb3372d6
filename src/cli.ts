/** The list of verbs, and how an error of any of them is told. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Cause, Effect, Exit } from "effect"
import { CliError, Command } from "effect/cli"
import { commands } from "./cli/commands.ts"
import { admit, expel } from "./cli/admit.ts"
import { channels } from "./cli/channels.ts"
import { artifacts } from "./cli/artifacts.ts"
import { demo } from "./cli/demo.ts"
import { dispatch } from "./cli/dispatch.ts"
import { codeOf, ExitCode, say } from "./cli/exit.ts"
import { instance } from "./cli/instance.ts"
import { keys } from "./cli/keys.ts"
import { invite, join, leave, remove } from "./cli/members.ts"
import { operators } from "./cli/operators.ts"
import { outbox } from "./cli/outbox.ts"
import { ps } from "./cli/ps.ts"
import { rebuild } from "./cli/rebuild.ts"
import { relay } from "./cli/relay.ts"
import { relays } from "./cli/relays.ts"
import { roster } from "./cli/roster.ts"
import { start } from "./cli/start.ts"
import { trace } from "./cli/trace.ts"
import { usageLayer } from "./cli/usage.ts"
import { verify } from "./cli/verify.ts"
import { verbCommands } from "./cli/verbs.ts"

const runtime = Command.make("runtime").pipe(
  Command.withDescription("command a council of AI agents over Nostr relays that you own"),
  Command.withSubcommands([
    start,
    dispatch,
    commands,
    artifacts,
    trace,
    verify,
    rebuild,
    ps,
    outbox,
    operators,
    admit,
    expel,
    invite,
    remove,
    join,
    leave,
    channels,
    roster,
    instance,
    relays,
    relay,
    keys,
    demo,
    ...verbCommands,
  ]),
)

/** Runs a command line; gives its exit code and never throws. */
export const runCli = async (args: readonly string[]): Promise<number> => {
  const exit = await Effect.runPromiseExit(
    (
      Command.runWith(runtime, { version: "0.1.0" })([...args]) as Effect.Effect<
        void,
        unknown,
        NodeServices.NodeServices
      >
    ).pipe(Effect.provide(usageLayer()), Effect.provide(NodeServices.layer)),
  )
  if (Exit.isSuccess(exit)) return ExitCode.ok
  const error = Cause.squash(exit.cause)
  if (CliError.isCliError(error)) return ExitCode.usage
  if (Cause.hasInterruptsOnly(exit.cause)) return ExitCode.interrupted
  say(`runtime: ${error instanceof Error ? error.message : String(error)}`)
  if (process.env["RUNTIME_DEBUG"] !== undefined) say(Cause.pretty(exit.cause))
  return codeOf(error)
}
