/**
 * `runtime demo`: the main job in one command. A relay on a free port, four wizards, the five commands of the dispatch
 * protocol, each state as it is reached; in a folder of its own, which is gone afterwards.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { keyFile, readKey } from "../identity/keys.ts"
import { SignaturePool, type Signatures } from "../identity/signature-pool.ts"
import { live } from "../runtime/live.ts"
import { limits } from "../limits.ts"
import type { Artifact } from "../protocol/artifact.ts"
import { commandTemplate } from "../protocol/command.ts"
import { withId, type NostrEvent } from "../protocol/event.ts"
import { parseLeading } from "../protocol/mentions.ts"
import type { Receipt } from "../protocol/receipt.ts"
import { wizardByName, type Roster } from "../protocol/roster.ts"
import { openFollower } from "../runtime/follow.ts"
import { homeOf, type Home } from "../runtime/home.ts"
import { openRuntime, type Runtime } from "../runtime/runtime.ts"
import { systemChance } from "../services/chance.ts"
import { nowSeconds, sleep, systemClock } from "../services/clock.ts"
import { webSocket } from "../services/socket.ts"
import { exit, print, say } from "./exit.ts"
import { untilSignal } from "./signal.ts"

const roles = ["allegro", "claude", "kimi", "timmy"]

/** Without the annotations, which are the document's. */
const examples = [
  "@allegro deploy relay",
  "@claude fix bug in nexus issue #123",
  "@kimi research llama4 benchmarks",
  "@all status check",
  "@timmy heartbeat faster",
]

export const demo = Command.make(
  "demo",
  { keep: Flag.Boolean("keep").pipe(Flag.withDescription("leave its folder, to look at it"), Flag.withDefault(false)) },
  ({ keep }) =>
    Effect.scoped(
      Effect.gen(function* () {
        const dir = yield* Effect.acquireRelease(
          Effect.sync(() => mkdtempSync(join(tmpdir(), "wizardly-demo-"))),
          (folder) =>
            Effect.sync(() => (keep ? say(`kept: ${folder}`) : rmSync(folder, { recursive: true, force: true }))),
        )
        const home = homeOf(dir)
        const signatures = yield* SignaturePool
        const runtime = yield* openRuntime({
          home,
          roles: roles.map((name) => ({ name })),
          relays: [],
          relayPort: 0,
          council: undefined,
          operators: [],
          config: {},
          limits,
          warn: (message) => say(`! ${message}`),
        })
        print(`relay        ${runtime.relays.list()[0]} is up (signatures: ${signatures.backend})`)
        const played = Effect.tryPromise({
          try: (signal) => play(runtime, home, signatures, signal),
          catch: (error) => error,
        })
        const stopped = untilSignal.pipe(Effect.andThen(Effect.fail(exit("interrupted", "stopped; nothing is left"))))
        // Whatever ends it: what runs is waited for, as it would write into a folder that is gone.
        const shown = Effect.raceFirst(played, stopped).pipe(Effect.ensuring(Effect.promise(runtime.drain)))
        yield* Effect.raceFirst(runtime.run, shown)
      }),
    ),
).pipe(Command.withDescription("see it work: a relay, four wizards, five commands"), Command.provide(live))

interface Played {
  readonly text: string
  readonly wizard: string
  state: string
  commit: string
  ms: number
}

const play = async (runtime: Runtime, home: Home, signatures: Signatures, signal: AbortSignal): Promise<void> => {
  const roster = await rosterOf(runtime)
  await ready(runtime)
  const key = readKey(keyFile(home.explicit, "operator"))
  if (key === undefined) throw exit("failed", "the operator's key was not made")
  const signer = signatures.signerFor(key.secret)
  const rows = new Map<string, Played>()
  const sentMs = new Map<string, number>()
  const row = (command: string, wizard: string): Played | undefined => rows.get(`${command} ${wizard}`)
  const follower = await openFollower({
    relays: runtime.relays.list(),
    signer,
    signatures,
    clock: systemClock,
    chance: systemChance,
    socket: webSocket,
    limits,
    roster,
    receipt: (receipt) => {
      const played = row(receipt.command, receipt.wizard)
      if (played === undefined) return
      played.state = receipt.status
      played.ms = systemClock.nowMs() - (sentMs.get(receipt.command) ?? 0)
      print(stateLine(receipt, played))
    },
    artifact: (artifact) => {
      const played = row(artifact.command, artifact.wizard)
      if (played === undefined) return
      played.commit = artifact.place?.commit.slice(0, 12) ?? ""
      print(artifactLine(artifact))
    },
  })
  // Interrupted, it must not hold the process.
  signal.addEventListener("abort", () => void follower.close())
  try {
    for (const text of examples) {
      print(`\n${text}`)
      const { event, wizards } = await commandOf(text, roster, signer)
      for (const wizard of wizards)
        rows.set(`${event.id} ${wizard}`, { text, wizard, state: "sent", commit: "", ms: 0 })
      sentMs.set(event.id, systemClock.nowMs())
      await follower.send(event, wizards)
      await follower.ended(event, wizards, 60_000)
    }
  } finally {
    await follower.close()
  }
  summarise([...rows.values()])
}

const rosterOf = async (runtime: Runtime): Promise<Roster> => {
  for (;;) {
    const roster = runtime.rosters.inForce()
    if (roster !== undefined) return roster
    await sleep(systemClock, 10)
  }
}

const ready = async (runtime: Runtime): Promise<void> => {
  for (const wizard of runtime.wizards) {
    while (!["idle", "busy"].includes(wizard.status().state)) await sleep(systemClock, 10)
    print(`${wizard.name.padEnd(12)} ready (executor: ${wizard.executor})`)
  }
}

const commandOf = async (text: string, roster: Roster, signer: ReturnType<Signatures["signerFor"]>) => {
  const names = parseLeading(text).mentions.flatMap((mention) => (mention.type === "name" ? [mention.name] : []))
  const wizards = names.length > 0 ? names : roles
  const targets = names.flatMap((name) => wizardByName(roster, name)?.pubkey ?? [])
  const template = commandTemplate({ text, targets, d: systemChance.hex(16), createdAt: nowSeconds(systemClock) })
  const [event] = (await signer.sign([withId(signer.pubkey, template)])) as [NostrEvent]
  return { event, wizards }
}

const stateLine = ({ wizard, status, content }: Receipt, { ms }: Played): string =>
  `  ${wizard.padEnd(8)} ${status.padEnd(18)} ${String(ms).padStart(5)} ms${content.reason === undefined ? "" : `  ${content.reason}`}`

const artifactLine = ({ wizard, text, place }: Artifact): string =>
  place === undefined
    ? text
        .split("\n")
        .map((line) => `  ${wizard.padEnd(8)} | ${line}`)
        .join("\n")
    : `  ${wizard.padEnd(8)} | commit ${place.commit.slice(0, 12)} on ${place.branch} of ${place.repo}: ${text.split("\n")[0] ?? ""}`

const summarise = (rows: readonly Played[]): void => {
  const width = Math.max(...examples.map((text) => text.length))
  print(`\n${"command".padEnd(width)}  wizard    state              commit        ms`)
  for (const { text, wizard, state, commit, ms } of rows) {
    print(
      `${text.padEnd(width)}  ${wizard.padEnd(8)}  ${state.padEnd(17)}  ${(commit || "(an answer)").padEnd(12)}  ${ms}`,
    )
  }
  const bad = rows.filter(({ state }) => state !== "artifact-reported")
  if (bad.length > 0) throw exit("endedBadly", `${bad.length} of ${rows.length} did not end well`)
  print(`\nAll ${rows.length} done. For real:  npx runtime start --role timmy`)
  print('Then:  npx runtime dispatch "@timmy status check" --wait')
}
