/** `runtime start`: runs wizards in the foreground until it is told to stop. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { npubOf, parsePublicKey } from "../identity/keys.ts"
import { openSignatures } from "../identity/signature-pool.ts"
import { openRuntime, type Runtime } from "../runtime/runtime.ts"
import { systemChance } from "../services/chance.ts"
import { systemClock } from "../services/clock.ts"
import { webSocket } from "../services/socket.ts"
import { print, say } from "./exit.ts"
import { configOf, homeFlag, homeFrom, portFlag, relayUrl } from "./flags.ts"

export const start = Command.make(
  "start",
  {
    home: homeFlag,
    role: Flag.String("role").pipe(Flag.withDescription("a wizard to run here; repeatable"), Flag.atLeast(1)),
    class: Flag.String("class").pipe(
      Flag.withDescription("what a wizard with a new name is: worker, researcher, …"),
      Flag.optional,
    ),
    executor: Flag.String("executor").pipe(Flag.withDescription("what does the work (default: note)"), Flag.optional),
    relay: Flag.String("relay").pipe(
      Flag.withDescription("a relay to use instead of the embedded one; repeatable"),
      Flag.atLeast(0),
    ),
    relayPort: portFlag("relay-port", "the embedded relay's port (default 3334)").pipe(Flag.optional),
    council: Flag.String("council").pipe(Flag.withDescription("the public key of the council to join"), Flag.optional),
    operator: Flag.String("operator").pipe(
      Flag.withDescription("a person's own public key, who may command; repeatable"),
      Flag.atLeast(0),
    ),
  },
  (flags) =>
    Effect.scoped(
      Effect.gen(function* () {
        const home = homeFrom(flags.home)
        const { config, limits } = configOf(home)
        const relays = flags.relay.length > 0 ? flags.relay : (config.relays ?? [])
        const signatures = yield* Effect.acquireRelease(
          Effect.promise(() => openSignatures()),
          (opened) => Effect.promise(opened.close),
        )
        const runtime = yield* openRuntime({
          home,
          roles: [...new Set(flags.role)].map((name) => ({
            name,
            ...(Option.isSome(flags.class) && { class: flags.class.value }),
            ...(Option.isSome(flags.executor) && { executor: flags.executor.value }),
          })),
          relays: [...new Set(relays.map(relayUrl))],
          relayPort: Option.getOrElse(flags.relayPort, () => config.relayPort ?? 3334),
          council: Option.getOrUndefined(Option.map(flags.council, parsePublicKey)),
          operators: flags.operator.map(parsePublicKey),
          config,
          limits,
          clock: systemClock,
          chance: systemChance,
          socket: webSocket,
          signatures,
          warn: (message) => say(`! ${message}`),
        })
        yield* Effect.raceFirst(
          runtime.run,
          untilTold(runtime, (yield* runningLines(runtime, signatures.backend)).length, limits.drainSecondsMax),
        )
      }),
    ),
).pipe(Command.withDescription("run one or more wizards"))

/** What was done, and what to type next. Shown as soon as the runtime stands; it goes on catching up meanwhile. */
const runningLines = (runtime: Runtime, backend: string) =>
  Effect.sync(() => {
    const { wizards, rosters, operator } = runtime
    const executorLine = "executor: note; no model attached"
    const lines = [
      ...wizards.map((wizard) =>
        row(wizard.name, npubOf(wizard.pubkey), stateLine(runtime, wizard.name, executorLine)),
      ),
      ...runtime.relays.map((url) => row("relay", url, runtime.embedded ? "embedded" : "")),
      row(
        "council",
        npubOf(rosters.council),
        runtime.keepsCouncil ? "(signs who may command; kept here, back it up)" : "(its secret is elsewhere)",
      ),
      ...(operator === undefined
        ? []
        : [
            row(
              "operator",
              npubOf(operator.pubkey),
              operator.created ? "(made for you; bring your own instead: --operator npub1…)" : "",
            ),
          ]),
      row("signatures", backend, backend === "libsecp256k1" ? "" : "(faster with libsecp256k1 installed)"),
      runtime.keepsCouncil || rosters.inForce() !== undefined
        ? `Try:  runtime dispatch "@${wizards[0]?.name} status check" --wait`
        : `Not admitted yet. Where the council's secret is:  ${wizards.map((wizard) => `runtime admit ${wizard.name} ${npubOf(wizard.pubkey)}`).join("; ")}`,
    ]
    for (const line of lines) print(line)
    return lines
  })

const stateLine = (_runtime: Runtime, _name: string, executor: string): string => `ready (${executor})`

const row = (name: string, value: string, note: string): string => `${name.padEnd(12)} ${value}  ${note}`.trimEnd()

/** Drains on the first signal, stops at once on the second. */
const untilTold = (runtime: Runtime, _lines: number, drainSeconds: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let told = 0
    const hear = (): void => {
      told += 1
      if (told > 1) {
        say("stopping at once; what was under way is taken up at the next start")
        return resume(Effect.void)
      }
      const working = runtime.working()
      say(
        working === 0
          ? "stopping"
          : `stopping: waiting up to ${drainSeconds} s for ${working === 1 ? "one command" : `${working} commands`} (again to stop at once)`,
      )
      void runtime.drain().then(() => resume(Effect.void))
    }
    process.on("SIGINT", hear)
    process.on("SIGTERM", hear)
    return Effect.sync(() => {
      process.off("SIGINT", hear)
      process.off("SIGTERM", hear)
    })
  })
