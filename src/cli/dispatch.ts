/** `runtime dispatch`: a person's command, as a signed event, by the same road as a phone's. */
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { commandTemplate } from "../protocol/command.ts"
import { parseDeadlineOption, parseDuration } from "../protocol/deadline.ts"
import { parseLeading } from "../protocol/mentions.ts"
import { standing, wizardByName, type Roster } from "../protocol/roster.ts"
import { withId, type NostrEvent } from "../protocol/event.ts"
import { keyFile, parsePublicKey, readKey } from "../identity/keys.ts"
import { openSignatures } from "../identity/signature-pool.ts"
import type { Limits } from "../limits.ts"
import { askControl } from "../runtime/control.ts"
import { openFollower } from "../runtime/follow.ts"
import { makeHome, type Home } from "../runtime/home.ts"
import { systemChance } from "../services/chance.ts"
import { nowSeconds, systemClock } from "../services/clock.ts"
import { webSocket } from "../services/socket.ts"
import { exit, print, say } from "./exit.ts"
import { configOf, homeFlag, homeFrom, jsonFlag, relayUrl } from "./flags.ts"
import { foretell, lineOf } from "./foretell.ts"
import { heldRoster, knownOf } from "./known.ts"

export const dispatch = Command.make(
  "dispatch",
  {
    text: Argument.String("command").pipe(Argument.withDescription('as "@timmy status check"')),
    home: homeFlag,
    priority: Flag.Literals("priority", ["low", "normal", "high", "urgent"]).pipe(
      Flag.withDescription("normal by default"),
      Flag.withDefault("normal"),
    ),
    deadline: Flag.String("deadline").pipe(
      Flag.withDescription('2026-03-31T12:00:00Z, unix seconds, or "in 2h"'),
      Flag.optional,
    ),
    key: Flag.String("key").pipe(Flag.withDescription("the file of the operator's secret key"), Flag.optional),
    relay: Flag.String("relay").pipe(Flag.withDescription("send over this relay; repeatable"), Flag.atLeast(0)),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("send nothing: say who would take it, by which rule, and whether a person must approve it"),
      Flag.withDefault(false),
    ),
    as: Flag.String("as").pipe(
      Flag.withDescription("with --dry-run: whose command it would be, a public key (default: the operator here)"),
      Flag.optional,
    ),
    wait: Flag.Boolean("wait").pipe(Flag.withDescription("follow it to its end"), Flag.withDefault(false)),
    timeout: Flag.String("timeout").pipe(
      Flag.withDescription("how long --wait waits, as 90s, 5m or 2h (default 10m)"),
      Flag.withDefault("10m"),
    ),
    json: jsonFlag,
  },
  (flags) =>
    Effect.tryPromise({
      try: async () => {
        const asked: Dispatch = {
          ...flags,
          home: homeFrom(flags.home),
          deadline: Option.getOrUndefined(flags.deadline),
          key: Option.getOrUndefined(flags.key),
        }
        if (!flags.dryRun && Option.isSome(flags.as)) throw exit("usage", "--as goes with --dry-run alone")
        if (flags.dryRun) return dryRun(asked, Option.getOrUndefined(flags.as))
        return send(asked)
      },
      catch: (error) => error,
    }),
).pipe(Command.withDescription("send a command to one or more wizards"))

export interface Dispatch {
  readonly text: string
  readonly home: Home
  readonly priority: "low" | "normal" | "high" | "urgent"
  readonly deadline: string | undefined
  readonly key: string | undefined
  readonly relay: readonly string[]
  readonly wait: boolean
  readonly timeout: string
  readonly json: boolean
}

/** What is wrong with it before it is signed is a matter of usage. */
const checked = (asked: Dispatch, limits: Limits) => {
  const nowMs = systemClock.nowMs()
  const deadlineMs = asked.deadline === undefined ? undefined : parseDeadlineOption(asked.deadline, nowMs)
  if (asked.deadline !== undefined && deadlineMs === undefined)
    throw exit("usage", `"${asked.deadline}" is no deadline: write 2026-03-31T12:00:00Z, unix seconds, or "in 2h"`)
  if (deadlineMs !== undefined && deadlineMs <= nowMs) throw exit("usage", `the deadline ${asked.deadline} is past`)
  const waitSeconds = parseDuration(asked.timeout)
  if (waitSeconds === undefined) throw exit("usage", `"${asked.timeout}" is no duration: write 90s, 5m or 2h`)
  const bytes = Buffer.byteLength(asked.text)
  if (bytes > limits.commandBytesMax)
    throw exit("usage", `that is ${bytes} bytes, at most ${limits.commandBytesMax} are read: send less, or an address`)
  return { deadlineMs, waitSeconds }
}

const templateOf = (asked: Dispatch, targets: readonly string[], deadlineMs: number | undefined) =>
  commandTemplate({
    text: asked.text,
    targets,
    ...(asked.priority !== "normal" && { priority: asked.priority }),
    ...(deadlineMs !== undefined && { deadlineMs }),
    d: systemChance.hex(16),
    createdAt: nowSeconds(systemClock),
  })

/** The same judgement that each wizard would make, by the roster that this home knows. */
const dryRun = (asked: Dispatch, as: string | undefined): void => {
  const { limits } = configOf(asked.home)
  const { deadlineMs } = checked(asked, limits)
  const { roster } = heldRoster(asked.home)
  const { targets } = targetsOf(asked.text, roster)
  const file = asked.key ?? keyFile(asked.home.explicit, "operator")
  const author = as === undefined ? readKey(file)?.pubkey : parsePublicKey(as)
  if (author === undefined)
    throw exit("notAllowed", `there is no operator's secret in ${file}: say whose command it is with --as NPUB`)
  const told = foretell(withId(author, templateOf(asked, targets, deadlineMs)), roster, systemClock.nowMs(), limits)
  if (asked.json) print(JSON.stringify(told))
  else for (const line of told) print(lineOf(line))
  if (!told.some(({ outcome }) => outcome === "take"))
    throw exit("notAllowed", "nobody would take it; nothing was sent")
  if (!asked.json) say("nothing was sent")
}

/** Signs and sends it, and where asked follows it to its end. */
export const send = async (asked: Dispatch): Promise<void> => {
  const { home, json } = asked
  const { limits, config } = configOf(home)
  const { deadlineMs, waitSeconds } = checked(asked, limits)
  const known = knownOf(home)
  const given = asked.relay.length > 0 ? asked.relay : (known.relays ?? config.relays ?? ["ws://127.0.0.1:3334"])
  const relays = [...new Set(given.map(relayUrl))]
  const { wizards, targets } = targetsOf(asked.text, known.roster)
  const file = asked.key ?? keyFile(home.explicit, "operator")
  const key = readKey(file)
  if (key === undefined)
    throw exit(
      "notAllowed",
      `there is no operator's secret in ${file}: name the file with --key FILE, or send from the phone that has it`,
    )

  const signatures = await openSignatures({ workers: 0 })
  const signer = signatures.signerFor(key.secret)
  const template = templateOf(asked, targets, deadlineMs)
  const [event] = (await signer.sign([withId(signer.pubkey, template)])) as [NostrEvent]
  const follower = await openFollower({
    relays,
    signer,
    signatures,
    clock: systemClock,
    chance: systemChance,
    socket: webSocket,
    limits,
    roster: known.roster,
    receipt: ({ command, wizard, status, content, createdAt }) => {
      if (json) print(JSON.stringify({ command, wizard, status, at: createdAt, ...content }))
      else if (asked.wait)
        say(`${wizard.padEnd(12)} ${status}${content.reason === undefined ? "" : `: ${content.reason}`}`)
    },
    artifact: ({ wizard, text, place }) => {
      if (json) print(JSON.stringify({ wizard, text, ...place }))
      else if (asked.wait)
        print(
          `${wizards.length > 1 && !text.startsWith(`${wizard}:`) ? `${wizard}: ` : ""}${text}${place === undefined ? "" : `\ncommit ${place.commit} on ${place.branch} of ${place.repo}`}`,
        )
    },
  })
  try {
    if (!follower.reached || !(await follower.send(event, wizards))) return await queue(asked, event, relays)
    if (!json && !asked.wait)
      print(
        `sent ${event.id} to ${wizards.length > 0 ? wizards.join(", ") : "whoever is meant"} (runtime trace show ${event.id.slice(0, 8)})`,
      )
    if (json && !asked.wait) print(JSON.stringify({ command: event.id, sent: true }))
    if (!asked.wait) return
    const ends = await follower.ended(event, wizards, waitSeconds * 1000).catch(() => {
      throw exit("failed", `no end after ${asked.timeout}; it goes on: runtime trace show ${event.id.slice(0, 8)}`)
    })
    const bad = ends.filter((receipt) => receipt.status !== "artifact-reported")
    if (bad.length > 0) {
      const ended = bad.map(({ wizard, status }) => `${wizard}: ${status}`).join(", ")
      throw exit("endedBadly", `${ended} (runtime trace show ${event.id.slice(0, 8)})`)
    }
  } finally {
    await follower.close()
    await signatures.close()
  }
}

/** Kept for the running process, or the next start. */
const queue = async (asked: Dispatch, event: NostrEvent, relays: readonly string[]): Promise<void> => {
  makeHome(asked.home)
  const file = join(asked.home.outgoing, `${event.created_at}-${event.id.slice(0, 16)}.json`)
  // Written aside, so that nobody reads half of it.
  writeFileSync(`${file}.new`, `${JSON.stringify(event)}\n`, { mode: 0o600, flush: true })
  renameSync(`${file}.new`, file)
  await askControl(asked.home.control, "outgoing").catch(() => undefined)
  if (asked.json) print(JSON.stringify({ command: event.id, sent: false, file }))
  const where = `no relay can be reached (${relays.join(", ")}); it is kept in ${file} and sent by the running runtime or the next start (then: runtime trace show ${event.id.slice(0, 8)})`
  if (asked.wait) throw exit("unreachable", where)
  say(where)
}

/** Names to keys where the roster is known; without one the wizards read the names themselves. */
const targetsOf = (
  text: string,
  roster: Roster | undefined,
): { wizards: readonly string[]; targets: readonly string[] } => {
  const { mentions, body } = parseLeading(text)
  if (mentions.length === 0) throw exit("usage", 'begin with whom it is for, as in "@timmy status check"')
  if (body.trim() === "") throw exit("usage", 'say what to do, as in "@timmy status check"')
  if (roster === undefined) return { wizards: [], targets: [] }
  const all = roster.wizards.filter(({ pubkey }) => standing(roster, pubkey) === "wizard")
  const chosen = mentions.flatMap((mention) => {
    if (mention.type === "all") return all
    if (mention.type === "key") return all.filter(({ pubkey }) => pubkey === mention.pubkey)
    const wizard = wizardByName(roster, mention.name.toLowerCase())
    if (wizard === undefined)
      throw exit(
        "notFound",
        `nobody is called @${mention.name}; known: ${all.map(({ name }) => `@${name}`).join(", ")}`,
      )
    return [wizard]
  })
  const isAll = mentions.some((mention) => mention.type === "all")
  return {
    wizards: [...new Set(chosen.map(({ name }) => name))],
    targets: isAll ? [] : [...new Set(chosen.map(({ pubkey }) => pubkey))],
  }
}
