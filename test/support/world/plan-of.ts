/** The plan of a seed. */
import { seededChance, type ChanceShape } from "../../../src/services/chance.ts"
import type { StopPoint } from "./disk.ts"
import type { Op, Plan, RelayFaults, RelaySpec } from "./plan.ts"

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

export const planOf = (seed: number, signatures: Plan["signatures"] = "fast", minutes?: number): Plan => {
  const chance = seededChance(seed)
  const likely = (rate: number): boolean => chance.next() < rate
  const between = (least: number, most: number): number => Math.floor(least + chance.next() * (most - least))
  const pick = <A>(list: readonly A[]): A => list[Math.floor(chance.next() * list.length)] as A
  const some = <A>(list: readonly A[]): A[] => {
    const taken = list.filter(() => likely(0.6))
    return taken.length === 0 ? [pick(list)] : taken
  }
  const losesHome = likely(0.15)
  // Of what a lost home said within one second, no page may be too small: NIP-01 has no way to ask for the rest.
  const pages = losesHome ? [60, 500] : [12, 20, 500]
  const wizards = likely(0.6) ? ["timmy"] : ["timmy", "kimi"]
  const relays = Array.from({ length: pick([1, 2, 2, 3]) }, (_, at): RelaySpec => ({
    url: `wss://relay-${at}.example`,
    honest: at === 0 || likely(0.5),
    auth: likely(0.3),
    cap: pick(pages),
    hints: likely(0.5),
    // What only a relay knows that is used no more, a lost home does not learn.
    ...(at > 0 && !losesHome && likely(0.2) && { late: true }),
  }))
  const urls = relays.map(({ url }) => url)
  const calmMs = (minutes ?? between(5, 40)) * minute
  const ops: Op[] = []
  const when = (): number => between(20_000, calmMs)
  let names = 0
  const nameOf = (): string => `c${names++}`

  const targetsOf = (): string[] => (likely(0.3) ? [...wizards] : [pick(wizards)])
  const command = (about: Partial<Extract<Op, { type: "command" }>> = {}): void => {
    const body = likely(0.15) ? "status check" : `${pick(["fix", "write", "test"])} ${names}`
    ops.push({
      type: "command",
      atMs: when(),
      name: nameOf(),
      author: likely(0.1) ? pick(["stranger", "wizard"]) : likely(0.15) ? "deputy" : "operator",
      form: likely(0.3) ? "note" : "command",
      body,
      targets: targetsOf(),
      relays: some(urls),
      ageSeconds: likely(0.7) ? 0 : likely(0.2) ? -between(60, 800) : between(0, 40 * 60),
      ...(likely(0.15) && { deadlineSeconds: between(-60, 1800) }),
      ...(likely(0.2) && { priority: pick(["low", "urgent"] as const) }),
      ...about,
    })
  }
  // What lay there before anybody lived here, and must never run.
  for (let n = between(0, 4); n > 0; n--)
    command({ atMs: 0, ageSeconds: between(3 * 3600, 60 * 3600), author: "operator" })
  for (let n = between(2, 12); n > 0; n--) command()
  if (likely(0.4)) {
    const atMs = when()
    const same = { atMs, relays: some(urls), ageSeconds: 0, author: "operator" as const }
    for (let n = between(3, 8); n > 0; n--) command({ ...same, body: "the same words" })
  }
  if (likely(0.1)) command({ ageSeconds: -100 * 365 * 86_400, author: "operator" })
  if (likely(0.15)) command({ body: "poison", author: "operator" })
  if (likely(0.35))
    ops.push({ type: "at-floor", atMs: when(), name: nameOf(), target: pick(wizards), relay: pick(urls) })
  const named = ops.flatMap((op) => (op.type === "command" ? [op] : []))
  for (let n = between(0, 3); n > 0 && likely(0.5); n--) {
    const { name, atMs } = pick(named)
    ops.push({
      type: "cancel",
      atMs: atMs + pick([0, 1000, 20_000, 5 * minute]),
      name: nameOf(),
      of: name,
      author: pick(["operator", "operator", "deputy", "stranger"]),
      relays: some(urls),
    })
  }
  if (likely(0.2)) {
    const about = { author: "operator", targets: [pick(wizards)] } as const
    const atMs = when()
    command({ ...about, atMs, body: "pause" })
    command({ ...about, atMs: atMs + between(0, 10 * minute), body: pick(["resume", "stop"]) })
  }
  for (let n = between(0, 4); n > 0; n--) {
    const { name, atMs } = pick(named)
    ops.push({ type: "republish", atMs: Math.max(atMs + 1000, when()), name, relay: pick(urls) })
  }
  if (likely(0.4)) {
    // The forged one comes first, by the only relay that will ever hold the true one, or by another.
    const op = pick(named)
    ops.push({ type: "forge", atMs: op.atMs, name: op.name, relay: pick(op.relays) })
  }

  const rate = (): number => pick([0.05, 0.2, 0.5])
  const faultNames = [
    "duplicate",
    "forge",
    "confuse",
    "shuffle",
    "close",
    "noEose",
    "lateEose",
    "loseIn",
    "loseOk",
    "doubt",
    "refuse",
    "rotateAuth",
    "garble",
    "dropLive",
    "dropStored",
    "reorder",
    "refuseForGood",
    "lieFinish",
  ] as const satisfies readonly (keyof RelayFaults)[]
  for (let n = between(0, 5); n > 0; n--) {
    const chosen = faultNames.filter(() => likely(0.25))
    const faults = Object.fromEntries(chosen.map((name) => [name, rate()]))
    ops.push({
      type: "faults",
      atMs: between(0, calmMs),
      relay: pick(urls),
      faults,
      forMs: between(minute, 20 * minute),
    })
  }
  for (const relay of urls) if (likely(0.4)) ops.push({ type: "delay", atMs: 0, relay, mostMs: pick([5, 500, 3000]) })
  for (let n = between(0, 6); n > 0; n--)
    ops.push({ type: "cut", atMs: when(), relay: pick(urls), code: pick([1000, 1001, 1006]) })
  for (let n = between(0, 3); n > 0; n--)
    ops.push({ type: "stall", atMs: when(), relay: pick(urls), forMs: pick([5_000, 30_000, 10 * minute]) })

  for (let n = between(0, 3); n > 0; n--) {
    const relay = pick(relays)
    const loseData = !relay.honest && !losesHome && likely(0.5)
    ops.push({ type: "restart-relay", atMs: when(), relay: relay.url, downMs: between(1000, 10 * minute), loseData })
  }
  for (let n = between(0, 3); n > 0; n--)
    ops.push({ type: "kill", atMs: when(), how: pick(["process", "power"]), downMs: between(100, 5 * minute) })
  const points: readonly StopPoint[] = ["statement", "before-commit", "after-commit", "before-sync", "after-sync"]
  for (let n = between(0, 5); n > 0; n--) {
    ops.push({
      type: "kill-at",
      atMs: when(),
      point: pick(points),
      skip: between(0, 12),
      how: pick(["process", "power"]),
      downMs: between(100, minute),
    })
  }
  for (const { url, late } of relays)
    if (late === true || (url !== urls[0] && !losesHome && likely(0.1))) {
      const [one, two] = [when(), when()].sort((a, b) => a - b) as [number, number]
      const types = late === true ? (["add-relay", "remove-relay"] as const) : (["remove-relay", "add-relay"] as const)
      ops.push({ type: types[0], atMs: one, relay: url })
      if (likely(0.4)) ops.push({ type: types[1], atMs: two, relay: url })
    }
  if (likely(0.3)) ops.push({ type: "terminate", atMs: when(), downMs: between(100, 5 * minute) })
  if (likely(0.2)) ops.push({ type: "dead-letters", atMs: when(), how: pick(["resend", "drop"]) })
  if (likely(0.3)) ops.push({ type: "disk-full", atMs: when(), forMs: between(1000, 3 * minute) })
  if (likely(0.4))
    ops.push({ type: "slow-disk", atMs: when(), forMs: between(minute, 10 * minute), mostMs: pick([100, 2000]) })
  if (likely(0.2))
    for (let n = between(1, 3); n > 0; n--)
      ops.push({ type: "step-clock", atMs: when(), byMs: pick([-hour, hour, -minute]) })
  if (likely(0.25)) ops.push({ type: "sleep", atMs: when(), forMs: pick([minute, hour, day]) })
  if (likely(0.2)) ops.push({ type: "revoke-deputy", atMs: when() })
  if (losesHome) {
    if (likely(0.5)) ops.push({ type: "lose-home", atMs: between(calmMs / 2, calmMs), downMs: between(20_000, minute) })
    else {
      ops.push({ type: "copy-home", atMs: between(minute, calmMs / 2) })
      ops.push({ type: "restore-home", atMs: between(calmMs / 2, calmMs), downMs: between(20_000, minute) })
    }
  } else if (likely(0.12)) ops.push({ type: "twin", atMs: when(), forMs: between(2 * minute, 12 * minute) })
  if (likely(0.08)) away(ops, { calmMs, chance, urls, name: nameOf(), target: pick(wizards) })
  const home = {
    repeat: likely(0.6) ? ("safe" as const) : ("never" as const),
    queueRowsMax: pick([3, 10_000, 10_000]),
    intakeRowsMax: pick([8, 1000]),
    pageRowsMax: pick(pages),
  }
  return {
    seed,
    signatures,
    wizards,
    // Drawn last, so that the rest of a seed's plan is what it was before.
    relays: relays.map((relay) => ({ ...relay, reconciles: likely(0.5) })),
    ...home,
    calmMs,
    ops: ops.sort((a, b) => a.atMs - b.atMs),
  }
}

/** Away for longer than any command may be old: what came in at the beginning of it is stale, what came at its end runs. */
const away = (
  ops: Op[],
  about: {
    readonly calmMs: number
    readonly chance: ChanceShape
    readonly urls: readonly string[]
    readonly name: string
    readonly target: string
  },
): void => {
  // When every truce is over.
  const atMs = about.calmMs + 15 * minute
  const command = {
    type: "command",
    author: "operator",
    form: "command",
    targets: [about.target],
    relays: about.urls,
  } as const
  ops.push({ type: "kill", atMs, how: "process", downMs: 15 * day })
  ops.push({ ...command, atMs: atMs + minute, name: `${about.name}-stale`, body: "too late", ageSeconds: 0 })
  ops.push({ ...command, atMs: atMs + 14.9 * day, name: `${about.name}-late`, body: "still wanted", ageSeconds: 0 })
}
