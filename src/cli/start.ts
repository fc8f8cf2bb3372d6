/** `runtime start`: runs wizards in the foreground until it is told to stop. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { npubOf, parsePublicKey } from "../identity/keys.ts"
import { SignaturePool } from "../identity/signature-pool.ts"
import { live } from "../runtime/live.ts"
import { openRuntime, type Runtime } from "../runtime/runtime.ts"
import { systemClock } from "../services/clock.ts"
import { isPublicUrl } from "../protocol/relay-list.ts"
import { wizardByName } from "../protocol/roster.ts"
import type { Home } from "../runtime/home.ts"
import type { WizardHost } from "../runtime/wizard.ts"
import { ExitCode, print, say } from "./exit.ts"
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
    model: Flag.String("model").pipe(
      Flag.withDescription("a model for MLX, a folder or a name on its hub; makes the executor mlx"),
      Flag.optional,
    ),
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
        const signatures = yield* SignaturePool
        const runtime = yield* openRuntime({
          home,
          roles: [...new Set(flags.role)].map((name) => ({
            name,
            ...(Option.isSome(flags.class) && { class: flags.class.value }),
            ...(Option.isSome(flags.executor) && { executor: flags.executor.value }),
            ...(Option.isSome(flags.model) && { model: flags.model.value }),
          })),
          relays: [...new Set(relays.map(relayUrl))],
          relayPort: Option.getOrElse(flags.relayPort, () => config.relayPort ?? 3334),
          council: Option.getOrUndefined(Option.map(flags.council, parsePublicKey)),
          operators: flags.operator.map(parsePublicKey),
          config,
          limits,
          warn: (message) => say(`! ${message}`),
        })
        yield* Effect.acquireRelease(
          Effect.sync(() => tellOf(runtime, signatures.backend, home, limits.instanceWaitSeconds)),
          (end) => Effect.sync(end),
        )
        yield* Effect.raceFirst(runtime.run, untilTold(runtime, limits.drainSecondsMax))
      }),
    ),
).pipe(Command.withDescription("run one or more wizards"), Command.provide(live))

/**
 * What was done, and what to type next: a wizard's line when it is known how it is, and again when that changes.
 * Returns what ends it.
 */
const tellOf = (runtime: Runtime, backend: string, home: Home, instanceWaitSeconds: number): (() => void) => {
  const { wizards, rosters, relays } = runtime
  const told = new Map<string, string>()
  let isRead = false
  let isRestTold = false
  let isHinted = false
  const rest = (): void => {
    if (isRestTold) return
    isRestTold = true
    for (const [n, url] of relays.list().entries())
      print(row("relay", url, n === 0 && runtime.embedded ? "embedded" : ""))
    const kept = runtime.keepsCouncil ? "signs who may command; kept here, back it up" : "its secret is elsewhere"
    print(row("council", npubOf(rosters.council), `(${kept})`))
    const operator = runtime.operator()
    const made = operator?.created === true ? "(made for you; bring your own instead: --operator npub1…)" : ""
    if (operator !== undefined) print(row("operator", npubOf(operator.pubkey), made))
    print(row("signatures", backend, backend === "libsecp256k1" ? "" : "(faster with libsecp256k1 installed)"))
    if (!relays.list().some(isPublicUrl))
      print(
        row(
          "reachable",
          "from here only",
          "(no relay with a public address: no list of relays, kind 10002, is published)",
        ),
      )
  }
  const look = (): void => {
    for (const wizard of wizards) {
      const line = wordOf(wizard, runtime, isRead)
      if (line === undefined || told.get(wizard.name) === line) continue
      told.set(wizard.name, line)
      print(row(wizard.name, npubOf(wizard.pubkey), line))
    }
    if (told.size < wizards.length) return
    rest()
    const ready = wizards.find((wizard) => told.get(wizard.name)?.startsWith("ready"))
    if (isHinted || ready === undefined) return
    isHinted = true
    const text = `@${ready.name} status check`
    const where = home.explicit === undefined || process.env["RUNTIME_HOME"] ? "" : ` --home ${home.explicit}`
    print(
      runtime.operator() === undefined
        ? `Try, where the operator's secret is:  ${text}`
        : `Try:  runtime dispatch "${text}" --wait${where}`,
    )
  }
  const slow = systemClock.after(slowMs, () => {
    for (const { name, status } of wizards.filter((wizard) => !told.has(wizard.name)))
      say(
        `${name} ${status().state === "listening" ? `listens ${instanceWaitSeconds} s whether its key is alive elsewhere` : "reads what the relays hold"}`,
      )
    rest()
  })
  const unwatch = [rosters.watch(look), ...wizards.map((wizard) => wizard.watch(look))]
  void rosters.read.then(() => {
    isRead = true
    look()
  })
  look()
  return () => {
    slow()
    for (const end of unwatch) end()
  }
}

/** Longer than that, and a person wants to know what it is doing. */
const slowMs = 1000

/** How a wizard is, for a person; undefined while that is about to change by itself. */
const wordOf = (wizard: WizardHost, { rosters, keepsCouncil }: Runtime, isRead: boolean): string | undefined => {
  const { state } = wizard.status()
  if (state === "idle" || state === "busy") return `ready (executor: ${wizard.executor})`
  if (state === "paused") return `paused (nothing is begun until "@${wizard.name} resume")`
  if (state === "standby")
    return "does nothing: its key is alive elsewhere (stop it there, or say that this is the one: runtime instance claim)"
  if (state !== "waiting" || !isRead) return undefined
  const roster = rosters.inForce()
  const named = roster === undefined ? undefined : wizardByName(roster, wizard.name)
  if (keepsCouncil && (named === undefined || named.pubkey === wizard.pubkey)) return undefined
  return named === undefined
    ? `obeys nobody yet (where the council's secret is: runtime admit ${wizard.name} ${npubOf(wizard.pubkey)})`
    : "obeys nobody: the roster gives that name to another key"
}

const row = (name: string, value: string, note: string): string => `${name.padEnd(12)} ${value}  ${note}`.trimEnd()

/** Drains on the first signal, stops at once on the second. */
const untilTold = (runtime: Runtime, drainSeconds: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let told = 0
    const hear = (): void => {
      told += 1
      if (told > 1) {
        say("stopped at once; what was under way is taken up at the next start")
        // What is durable needs no goodbye, and a task under way must not hold the process.
        process.exit(ExitCode.interrupted)
      }
      const open = runtime.store.attempt.allOpen().flatMap(({ actor }) => runtime.store.command.get(actor) ?? [])
      const titles = open.map(
        ({ id, wizard, body }) => `@${wizard} ${body.split("\n")[0]?.slice(0, 60)} (${id.slice(0, 8)})`,
      )
      say(
        open.length === 0
          ? "stopping"
          : `stopping: waiting up to ${drainSeconds} s for ${titles.join(", ")}; again to stop at once`,
      )
      void runtime
        .drain()
        .catch((error: unknown) => say(`! stopping: ${(error as Error).message}`))
        .then(() => resume(Effect.void))
    }
    process.on("SIGINT", hear)
    process.on("SIGTERM", hear)
    return Effect.sync(() => {
      process.off("SIGINT", hear)
      process.off("SIGTERM", hear)
    })
  })
