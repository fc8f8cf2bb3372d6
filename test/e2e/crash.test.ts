/**
 * The crash test: a real process, killed with SIGKILL at random moments while commands flow. `CRASH_SEED` repeats a run's
 * choices (the moments themselves are the machine's), `CRASH_KILLS` sets how often the first of the three is killed.
 */
import { execFileSync } from "node:child_process"
import { afterEach, describe, expect, it } from "vitest"
import { commandActor, commandKind } from "../../src/engine/commands.ts"
import { replay } from "../../src/engine/replay.ts"
import { checkChain } from "../../src/protocol/receipt.ts"
import { isEnd, type Status } from "../../src/protocol/status.ts"
import { systemChance } from "../../src/services/chance.ts"
import { openStore, outboxStart, type StoreShape, type TimerRow } from "../../src/store/store.ts"
import { heartbeatAfter, keyOf, openCrashSite, wizardNames, type CrashSite, type Expected } from "../support/crash.ts"

const seed = Number(process.env["CRASH_SEED"] ?? Number.parseInt(systemChance.hex(3), 16))
const kills = Number(process.env["CRASH_KILLS"] ?? 50)
// Of the three parts that each of the losses has.
const fewer = Math.ceil(kills / 3)
process.stdout.write(`crash test: CRASH_SEED=${seed} CRASH_KILLS=${kills}\n`)

const boundMs = 60_000
const timeout = 200_000 + kills * 8_000

let site: CrashSite
afterEach(() => site.close())

describe("killed at random moments while commands flow", () => {
  it(
    "every authorised command has one end, one claimed commit and one chain, and nothing else ran",
    async () => {
      site = await openCrashSite(seed)
      await lives(kills)
      await site.lastLife(boundMs, { forAnswers: true })

      expect(chainFaults()).toEqual([])
      expect(endsOf(["task", "verb"])).toEqual(["artifact-reported"])
      expect(Object.keys(claims()).toSorted()).toEqual(tasks())
      expect(reportedCommits()).toEqual(claims())
      expect(recorded()).toEqual(tasks())
      expect(committed()).toEqual(tasks())
      expect(repositoryFaults()).toEqual([])
      expect(answerFaults()).toEqual([])
      inStore((store) => {
        expect(unauthorised(store)).toEqual([])
        expect(foldFaults(store)).toEqual([])
        expect(leftOpen(store)).toEqual([])
        // Else the kills missed the work, and all this would say little.
        expect(lost(store)).toBeGreaterThan(kills / 25)
        expect(wizardNames.map((name) => Number(store.setting.get(name, "heartbeatSeconds") ?? 3600))).toEqual(
          wizardNames.map((name) => heartbeatAfter(expectedAt(name).filter(({ body }) => /faster/.test(body)).length)),
        )
      })
    },
    timeout,
  )

  it(
    "the home is restored from a copy made half-way: nothing that ended runs again, no chain forks",
    async () => {
      site = await openCrashSite(seed + 1)
      await lives(fewer)
      const restore = site.copyHome()
      await lives(fewer)
      restore()
      await lives(fewer)
      await site.lastLife(boundMs)
      holdsAfterLoss()
      // What ended in the home that was lost has no claim in the one that was restored, and the same where it has.
      for (const [key, commit] of Object.entries(claims())) expect([key, reportedCommits()[key]]).toContain(commit)
    },
    timeout,
  )

  it(
    "the database is gone, twice, and the keys kept: nothing that ended runs again, no chain forks",
    async () => {
      site = await openCrashSite(seed + 2)
      for (let loss = 0; loss < 2; loss++) {
        await lives(fewer)
        site.loseDatabase()
      }
      await lives(fewer)
      await site.lastLife(boundMs)
      holdsAfterLoss()
      expect(Object.keys(claims()).toSorted()).toEqual(tasks())
      expect(recorded()).toEqual(tasks())
      expect(reportedCommits()).toEqual(claims())
    },
    timeout,
  )
})

describe("a home that is restored from a copy", () => {
  it("P25 P16: a deadline that passed meanwhile does not end what a relay knows to have ended", async () => {
    site = await openCrashSite(seed + 3)
    const { ledger, send, start } = site
    const reaches = (id: string, status: Status): Promise<void> =>
      ledger.until(() => ledger.last(id, "timmy")?.status === status)
    const first = start()
    await reaches(await send("verb", "pause", "timmy"), "artifact-reported")
    const id = await send("task", "a late one", "timmy", [["deadline", "2100-01-01T00:00:00Z"]])
    await reaches(id, "acknowledged")
    await first.kill("SIGKILL")
    const restore = site.copyHome()
    const second = start()
    await reaches(await send("verb", `cancel ${id}`, "timmy"), "artifact-reported")
    await reaches(id, "cancelled")
    await second.kill("SIGKILL")
    restore()
    const store = openStore(site.home.database)
    const actor = commandActor(id, "timmy")
    const timer = store.timer.get(actor, "deadline")
    expect(timer).toBeDefined()
    store.database.transaction(() => store.timer.put({ ...(timer as TimerRow), due_ms: 1 }))
    store.database.close()
    const third = start()
    await reaches(await send("verb", "status check", "timmy"), "artifact-reported")
    expect(await third.kill("SIGTERM")).toMatchObject({ code: 0 })
    expect(chainFaults()).toEqual([])
    inStore((read) => expect([read.command.get(actor)?.state, read.deadLetter.all()]).toEqual(["cancelled", []]))
  }, 120_000)
})

const lives = async (many: number): Promise<void> => {
  for (let life = 0; life < many; life++) await site.life()
}

const holdsAfterLoss = (): void => {
  expect(chainFaults()).toEqual([])
  expect(endsOf(["task", "verb"])).toEqual(["artifact-reported"])
  expect(repositoryFaults()).toEqual([])
  // Begun twice only where a person said so.
  expect(twice(committed()).filter((key) => !wasInterrupted(key))).toEqual([])
  expect(
    Object.entries(reportedCommits()).filter(([key, commits]) => !wasInterrupted(key) && /,/.test(commits)),
  ).toEqual([])
  inStore((store) => {
    expect(unauthorised(store)).toEqual([])
    expect(foldFaults(store)).toEqual([])
    expect(leftOpen(store)).toEqual([])
  })
}

const all = (): readonly Expected[] => [...site.expected.values()]
const expectedAt = (wizard: string): readonly Expected[] => all().filter((one) => one.wizard === wizard)

const tasks = (): readonly string[] =>
  all()
    .filter(({ work }) => work === "task")
    .map(({ id, wizard }) => keyOf(id, wizard))
    .toSorted()

const wasInterrupted = (key: string): boolean => {
  const [id = "", wizard = ""] = key.split(" ")
  return site.ledger.receipts(id, wizard).some(({ status }) => status === "interrupted")
}

/** What the relay holds of each, checked as anybody could; and chains that nobody may have. */
const chainFaults = (): readonly string[] => [
  ...all().flatMap(({ id, wizard, body }) => {
    const chain = site.ledger.receipts(id, wizard)
    const fault = checkChain(chain) ?? (chain.filter(({ status }) => isEnd(status)).length === 1 ? undefined : "no end")
    const told = chain.map(({ n, status, instance }) => `${n} ${status} (${instance})`).join(", ")
    return fault === undefined ? [] : [`${id} at ${wizard} (${body}): ${fault}: ${told}`]
  }),
  ...site.ledger.told().filter((key) => !site.expected.has(key)),
]

const endsOf = (works: readonly Expected["work"][]): readonly (string | undefined)[] => [
  ...new Set(
    all()
      .filter(({ work }) => works.includes(work))
      .map(({ id, wizard }) => site.ledger.last(id, wizard)?.status),
  ),
]

const git = (dir: string, ...args: readonly string[]): string =>
  execFileSync("git", args, { cwd: dir, encoding: "utf8" })

const linesOf = (text: string): readonly string[] => text.split("\n").filter((line) => line !== "")

/** In the home as it is now: `command wizard` to commit. */
const claims = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    wizardNames.flatMap((wizard) =>
      linesOf(
        git(site.home.artifacts(wizard), "for-each-ref", "--format=%(refname) %(objectname)", "refs/commands"),
      ).map((line) => {
        const [, , id = "", name = "", commit = ""] = line.split(/[/ ]/)
        return [keyOf(id, name), commit]
      }),
    ),
  )

/** As the artifact events tell; several are told in one string. */
const reportedCommits = (): Readonly<Record<string, string>> =>
  Object.fromEntries(
    tasks().map((key) => {
      const [id = "", wizard = ""] = key.split(" ")
      const commits = site.ledger.artifacts(id, wizard).map(({ place }) => place?.commit ?? "none")
      return [key, [...new Set(commits)].join(",")]
    }),
  )

/** The files of `main`, each by the command that it records. */
const recorded = (): readonly string[] =>
  wizardNames
    .flatMap((wizard) =>
      linesOf(
        git(site.home.artifacts(wizard), "grep", "-hoE", "^- command [0-9a-f]{64}", "main", "--", "commands"),
      ).map((line) => keyOf(line.slice("- command ".length), wizard)),
    )
    .toSorted()

/** The commits that any ref leads to, each by the command that it names; also those of a home that was lost. */
const committed = (): readonly string[] =>
  wizardNames
    .flatMap((wizard) => {
      const format = "--format=%H %(trailers:key=Command-Id,valueonly,separator=%x20)"
      const lines = site.artifacts(wizard).flatMap((dir) => linesOf(git(dir, "log", "--all", format)))
      return [...new Set(lines)].flatMap((line) => {
        const id = line.split(" ")[1]
        return id === undefined || id === "" ? [] : [keyOf(id, wizard)]
      })
    })
    .toSorted()

const twice = (keys: readonly string[]): readonly string[] => keys.filter((key, at) => keys.indexOf(key) !== at)

const repositoryFaults = (): readonly string[] =>
  wizardNames.flatMap((wizard) => {
    const dir = site.home.artifacts(wizard)
    return [
      ...linesOf(git(dir, "fsck", "--strict", "--no-dangling", "--no-progress")),
      ...linesOf(git(dir, "status", "-s")),
    ]
  })

/** A note gets its two reactions and one answer; a command nothing but receipts. */
const answerFaults = (): readonly string[] =>
  all().flatMap(({ id, wizard, form, body }) => {
    const answers = site.ledger.answers(id, site.pubkeyOf(wizard))
    const given = answers.map(({ kind, content }) => (kind === 7 ? content : "answer")).toSorted()
    const due = form === "note" ? ["answer", "\u2705"] : []
    // That it was acknowledged is dropped where it still waited when the end was told (U10).
    const ways = form === "note" ? [due, [...due, "\u{1F440}"]] : [due]
    const isDue = ways.some((way) => given.join() === way.toSorted().join())
    return isDue ? [] : [`${id} at ${wizard} (${body}): ${given.join()}`]
  })

const inStore = (look: (store: StoreShape) => void): void => {
  const store = openStore(site.home.database, { readonly: true })
  try {
    look(store)
  } finally {
    store.database.close()
  }
}

const rowsOf = (store: StoreShape) => store.command.list(100_000)

const unauthorised = (store: StoreShape): readonly string[] =>
  rowsOf(store)
    .map(({ id, wizard }) => keyOf(id, wizard))
    .filter((key) => !site.expected.has(key))

/** The journal gives every actor's state again. */
const foldFaults = (store: StoreShape): readonly string[] =>
  rowsOf(store).flatMap(({ id, wizard, state }) => {
    const actor = commandActor(id, wizard)
    const { steps } = replay(commandKind, store.journal.of(actor))
    const stored = store.snapshot.get(actor)?.state
    const isSame = steps.every(({ same }) => same) && steps.at(-1)?.state === stored && stored === state
    return isSame ? [] : [`${actor}: ${steps.map((one) => one.state).join(", ")}, stored ${stored}, row ${state}`]
  })

/** How many attempts were killed in the middle. */
const lost = (store: StoreShape): number =>
  rowsOf(store)
    .flatMap(({ actor }) => store.attempt.of(actor))
    .filter(({ outcome }) => outcome === "lose").length

/** Work that is still called under way, and inputs that were set aside. */
const leftOpen = (store: StoreShape): readonly string[] => [
  ...store.attempt.allOpen().map(({ actor }) => actor),
  ...wizardNames.flatMap((wizard) =>
    ["execute", "abort"].flatMap((kind) =>
      store.outbox.pending(kind, wizard, outboxStart, 100_000).map(({ effect }) => effect),
    ),
  ),
  ...store.deadLetter.all().map(({ actor, error }) => `${actor}: ${error}`),
]
