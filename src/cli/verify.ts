/** `runtime verify ID`: a command's whole story, from a relay's signed events and without our database. */
import { existsSync, readFileSync } from "node:fs"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { claimRef } from "../artifacts/claim.ts"
import { git } from "../artifacts/git.ts"
import { readTrailers } from "../artifacts/trailers.ts"
import { keyFile, npubOf, parsePublicKey, readKey } from "../identity/keys.ts"
import { openSignatures } from "../identity/signature-pool.ts"
import type { Artifact } from "../protocol/artifact.ts"
import { readCommand } from "../protocol/command.ts"
import { Kind } from "../protocol/kinds.ts"
import { openGatherer } from "../runtime/gather.ts"
import type { Home } from "../runtime/home.ts"
import { judgeStory, type Finding } from "../runtime/story.ts"
import { systemChance } from "../services/chance.ts"
import { systemClock } from "../services/clock.ts"
import { webSocket } from "../services/socket.ts"
import { exit, print } from "./exit.ts"
import { configOf, homeFlag, homeFrom, jsonFlag, relayUrl } from "./flags.ts"
import { knownOf, readStore } from "./known.ts"

export const verify = Command.make(
  "verify",
  {
    id: Argument.String("id").pipe(
      Argument.withDescription("of the command; its first 8 digits where this home knows it"),
    ),
    relay: Flag.String("from-relay").pipe(
      Flag.withDescription("the relay to ask (default: the first one of this home)"),
      Flag.optional,
    ),
    council: Flag.String("council").pipe(
      Flag.withDescription("the public key whose roster counts (default: the one that this home obeys)"),
      Flag.optional,
    ),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ id, relay, council, home, json }) =>
    Effect.tryPromise({
      try: () => tell(id, Option.getOrUndefined(relay), Option.getOrUndefined(council), homeFrom(home), json),
      catch: (error) => error,
    }),
).pipe(Command.withDescription("check a command's story by signatures alone, for whoever does not trust our database"))

const tell = async (
  given: string,
  relay: string | undefined,
  councilGiven: string | undefined,
  home: Home,
  json: boolean,
): Promise<void> => {
  const id = wholeId(given.toLowerCase(), home)
  const url = relayUrl(relay ?? knownOf(home).relays?.[0] ?? "ws://127.0.0.1:3334")
  const council = councilGiven === undefined ? pinned(home) : parsePublicKey(councilGiven)
  if (council === undefined) throw exit("usage", "say whose roster counts: --council npub1…")
  const { limits } = configOf(home)
  const signatures = await openSignatures({ workers: 0 })
  // A relay may ask who reads; without a key of our own, somebody new does.
  const secret = readKey(keyFile(home.explicit, "operator"))?.secret ?? Buffer.from(systemChance.hex(32), "hex")
  const signer = signatures.signerFor(secret)
  const gatherer = openGatherer({
    url,
    signer,
    signatures,
    clock: systemClock,
    chance: systemChance,
    socket: webSocket,
    limits,
  })
  try {
    const first = await gatherer.ask([
      { ids: [id] },
      { kinds: [Kind.record, Kind.artifact, Kind.deletion], "#e": [id] },
      { kinds: [Kind.record], authors: [council] },
    ])
    const kin = kinOf(first.events.find((event) => event.id === id))
    const second = kin.length === 0 ? undefined : await gatherer.ask([{ ids: kin }])
    const events = [...first.events, ...(second?.events ?? [])]
    if (!events.some((event) => event.id === id || event.tags.some((tag) => tag[0] === "e" && tag[1] === id)))
      throw exit("notFound", `${url} holds nothing of ${id}`)
    const { findings, artifacts } = judgeStory(id, council, events, limits)
    const all = [...findings, ...(await repositoryFindings(artifacts, home))]
    if (!first.whole || second?.whole === false)
      all.push({ result: "unchecked", check: "receipts", says: `${url} did not give everything that was asked for` })
    report(id, url, council, all, json)
  } finally {
    await gatherer.close()
    await signatures.close()
  }
}

const report = (id: string, url: string, council: string, findings: readonly Finding[], json: boolean): void => {
  const bad = findings.filter(({ result }) => result === "fails")
  if (json) print(JSON.stringify({ command: id, relay: url, council, holds: bad.length === 0, findings }))
  else {
    print(`${id}  by ${url}, for the council ${npubOf(council)}`)
    for (const { result, check, wizard, says } of findings)
      print(`  ${marks[result]} ${check.padEnd(10)}${wizard === undefined ? "" : `@${wizard}: `}${says}`)
  }
  if (bad.length > 0) throw exit("failed", `${bad.length} of it does not hold`)
}

const marks = { holds: "ok       ", fails: "FALSE    ", unchecked: "unchecked" } as const

/** A short id is only made long by the home; nothing else is taken from there. */
const wholeId = (id: string, home: Home): string => {
  if (/^[0-9a-f]{64}$/.test(id)) return id
  if (!/^[0-9a-f]{8,63}$/.test(id)) throw exit("usage", `"${id}" is no id: 64 hex digits`)
  const found = existsSync(home.database) ? readStore(home, (store) => store.command.byId(id)) : []
  const ids = [...new Set(found.map((row) => row.id))]
  if (ids.length === 1) return ids[0] as string
  throw exit("usage", `this home does not know which command ${id} is: give all 64 digits`)
}

const pinned = (home: Home): string | undefined =>
  existsSync(home.pin) ? parsePublicKey(readFileSync(home.pin, "utf8")) : undefined

const kinOf = (event: Parameters<typeof readCommand>[0] | undefined): readonly string[] => {
  const command = event === undefined ? undefined : readCommand(event)
  return [command?.parent, command?.root].filter((id) => id !== undefined)
}

/** Whether each commit is where it was reported, where its repository is at hand. */
const repositoryFindings = (artifacts: readonly Artifact[], home: Home): Promise<readonly Finding[]> =>
  Promise.all(
    artifacts.flatMap(({ place, command, wizard }) => {
      if (place === undefined) return []
      const found = (result: Finding["result"], says: string): Finding => ({ result, check: "artifact", wizard, says })
      const dir = home.artifacts(wizard)
      const short = place.commit.slice(0, 12)
      if (!existsSync(dir))
        return [Promise.resolve(found("unchecked", `whether ${short} is real: ${place.repo} is not at hand`))]
      const looked = Effect.gen(function* () {
        const stated = yield* readTrailers(dir, place.commit)
        const claimed = yield* git(dir, ["for-each-ref", "--format=%(objectname)", claimRef({ command, wizard })])
        if (stated.command !== command || stated.wizard !== wizard)
          return found("fails", `${short} names another command or wizard`)
        if (claimed !== place.commit) return found("fails", `the repository's claim is ${claimed || "missing"}`)
        return found("holds", `${short} is in the repository, claimed, and names this command`)
      }).pipe(Effect.catch((error) => Effect.succeed(found("fails", `${short} cannot be read: ${error.message}`))))
      return [Effect.runPromise(looked)]
    }),
  )
