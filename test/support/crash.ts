/**
 * A council whose process dies again and again while commands flow: the relays live on outside the home, the test signs
 * as the operator, a stranger knocks too, and the ledger keeps all that the wizards ever said.
 */
import { cpSync, existsSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { generateSecretKey, getPublicKey } from "nostr-tools/pure"
import { keyFile, npubOf, readOrCreateKey } from "../../src/identity/keys.ts"
import { readArtifact, type Artifact } from "../../src/protocol/artifact.ts"
import { tagValues, type NostrEvent, type Tag } from "../../src/protocol/event.ts"
import { readHeartbeat } from "../../src/protocol/heartbeat.ts"
import { readReceipt, type Receipt } from "../../src/protocol/receipt.ts"
import { isEnd } from "../../src/protocol/status.ts"
import { homeOf, makeHome, type Home } from "../../src/runtime/home.ts"
import { seededChance, type ChanceShape } from "../../src/services/chance.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"
import { connect, signed, type TestClient } from "../relay/client.ts"
import { startCli, temporaryHome, type CliProcess } from "./process.ts"

export const wizardNames = ["timmy", "allegro"] as const

/** What an authorised command must come to at one wizard. */
export interface Expected {
  readonly id: string
  readonly wizard: string
  readonly work: "task" | "verb" | "retry"
  readonly form: "command" | "note"
  readonly body: string
}

export interface CrashSite {
  readonly chance: ChanceShape
  readonly home: Home
  readonly expected: ReadonlyMap<string, Expected>
  readonly ledger: Ledger
  /** Ids of what strangers asked. */
  readonly strangers: readonly string[]
  readonly start: () => CliProcess
  /** By the operator, with further tags if need be; gives its id. */
  readonly send: (work: Expected["work"], body: string, wizard: string, more?: readonly Tag[]) => Promise<string>
  /** One life: it starts, commands come, and it is killed at a random moment. */
  readonly life: () => Promise<void>
  /**
   * The last life: it runs until everything has ended, at most `boundMs` from one end to the next, and is told to stop.
   * `interrupted` is answered by `retry`. Final answers to notes are waited for where they are sure to come.
   */
  readonly lastLife: (boundMs: number, waits?: { readonly forAnswers: boolean }) => Promise<void>
  /** Where a wizard's results are; also those of the home that was lost. */
  readonly artifacts: (wizard: string) => readonly string[]
  readonly pubkeyOf: (wizard: string) => string
  /** Copies the home of the dead, its lock left out; the result puts the copy in the home's place. */
  readonly copyHome: () => () => void
  readonly loseDatabase: () => void
  readonly close: () => Promise<void>
}

/** Small, so that a life is short; the heartbeat's bounds are wide, so that each `faster` shows. */
const limits = {
  instanceWaitSeconds: 0.1,
  reconnectMsMin: 50,
  reconnectMsMax: 500,
  retryMsMin: 100,
  lossesMax: 1000,
  heartbeatSeconds: 3600,
  heartbeatSecondsMin: 1,
}

export const heartbeatAfter = (faster: number): number => {
  let seconds = limits.heartbeatSeconds
  for (let i = 0; i < faster; i++) seconds = Math.max(limits.heartbeatSecondsMin, Math.round(seconds / 2))
  return seconds
}

export const keyOf = (command: string, wizard: string): string => `${command} ${wizard}`

export const openCrashSite = async (seed: number): Promise<CrashSite> => {
  const root = temporaryHome()
  const chance = seededChance(seed)
  const home = homeOf(join(root, "home"), {})
  makeHome(home)
  writeFileSync(home.config, JSON.stringify({ limits }))
  const servers = ["a", "b"].map((name) =>
    startCli(["relay", "serve", "--port", "0", "--db", join(root, `relay-${name}.db`)]),
  )
  const urls = await Promise.all(servers.map(async (server) => (await server.line(/^relay (ws:\S+)/))[1] as string))
  const clients = await Promise.all(urls.map(connect))
  const wizards = wizardNames.map((name) => ({ name, pubkey: readOrCreateKey(keyFile(home.dir, name)).pubkey }))
  const ledger = openLedger(
    clients,
    wizards.map(({ pubkey }) => pubkey),
  )
  await ledger.read
  const flow = openFlow({ chance, clients, wizards })
  const args = [
    "start",
    "--home",
    home.dir,
    "--operator",
    npubOf(getPublicKey(flow.operator)),
    ...wizardNames.flatMap((name) => ["--role", name]),
    ...urls.flatMap((url) => ["--relay", url]),
  ]
  let held: CliProcess | undefined
  const start = (): CliProcess => (held = startCli(args))

  const life = async (): Promise<void> => {
    const running = start()
    const moment = async (): Promise<void> => {
      // Some die before they stand.
      if (chance.next() < 0.2) return sleep(systemClock, chance.next() * 800)
      // Its first word, or long enough to have said it.
      await Promise.race([running.line(/./), sleep(systemClock, 5000)])
      await sleep(systemClock, chance.next() ** 2 * 2000)
    }
    let alive = true
    const dead = moment().then(async () => {
      alive = false
      const { signal } = await running.kill("SIGKILL")
      if (signal !== "SIGKILL") throw new Error(`it died by itself:\n${running.stdout()}${running.stderr()}`)
    })
    const acting = (async () => {
      for (let n = 0; n < 3 && alive; n++) {
        await flow.act()
        await sleep(systemClock, chance.next() * 300)
      }
    })()
    await Promise.all([dead, acting])
  }

  const pubkeyOf = (name: string): string => wizards.find((wizard) => wizard.name === name)?.pubkey ?? ""
  const lostHome = homeOf(join(root, "lost"), {})

  const lastLife: CrashSite["lastLife"] = async (boundMs, { forAnswers } = { forAnswers: false }) => {
    const running = start()
    const retried = new Set<string>()
    const isOver = ({ id, wizard, form }: Expected): boolean =>
      ledger.receipts(id, wizard).some(({ status }) => isEnd(status)) &&
      (!forAnswers || form === "command" || ledger.answers(id, pubkeyOf(wizard)).some(({ kind }) => kind === 1))
    const unended = (): readonly Expected[] => [...flow.expected.values()].filter((one) => !isOver(one))
    const bound = Promise.withResolvers<never>()
    const giveUp = (): void => {
      const rest = unended().map(({ id, wizard, body }) => {
        return `${id} at ${wizard} (${body}): ${ledger.last(id, wizard)?.status ?? "nothing"}`
      })
      bound.reject(new Error(`nothing more ends:\n${rest.join("\n")}\n${running.stdout()}${running.stderr()}`))
    }
    let cancel = (): void => {}
    let least = Number.POSITIVE_INFINITY
    /** How many have not ended; the bound begins anew with each end. */
    const left = (): number => {
      const now = unended().length
      if (now < least) {
        least = now
        cancel()
        cancel = systemClock.after(boundMs, giveUp)
      }
      return now
    }
    const died = running.exited.then(() => {
      throw new Error(`it died by itself:\n${running.stdout()}${running.stderr()}`)
    })
    const stuck = (): readonly Receipt[] =>
      unended().flatMap(({ id, wizard }) => {
        const last = ledger.last(id, wizard)
        return last?.status === "interrupted" && !retried.has(last.id) ? [last] : []
      })
    const done = (async () => {
      for (;;) {
        await ledger.until(() => left() === 0 || stuck().length > 0)
        if (left() === 0) return
        for (const { id, command, wizard } of stuck()) {
          retried.add(id)
          await flow.retry(command, wizard)
        }
      }
    })()
    try {
      await Promise.race([done, bound.promise, died])
    } finally {
      cancel()
      died.catch(() => undefined)
    }
    const { code } = await running.kill("SIGTERM")
    if (code !== 0) throw new Error(`it did not stop well (${code}):\n${running.stdout()}${running.stderr()}`)
  }

  return {
    chance,
    home,
    expected: flow.expected,
    ledger,
    strangers: flow.strangers,
    start,
    send: flow.send,
    life,
    lastLife,
    artifacts: (wizard) => [home, lostHome].map((one) => one.artifacts(wizard)).filter((dir) => existsSync(dir)),
    pubkeyOf,
    copyHome: () => {
      const copy = join(root, "copy")
      // Clones are made anew for each attempt, so no backup needs them.
      const isCopied = (file: string): boolean => file !== home.work && !/^lock\.db|\.sock$/.test(basename(file))
      copyWhole(home.dir, copy, isCopied)
      return () => {
        renameSync(home.dir, lostHome.dir)
        renameSync(copy, home.dir)
      }
    },
    loseDatabase: () => {
      for (const end of ["", "-wal", "-shm"]) rmSync(home.database + end, { force: true })
    },
    close: async () => {
      for (const client of clients) client.close()
      await held?.kill("SIGKILL")
      await Promise.all(servers.map((server) => server.kill("SIGKILL")))
      rmSync(root, { recursive: true, force: true })
    },
  }
}

export interface Ledger {
  /** Everything by the wizards that a relay ever stored or sent, each event once. */
  readonly events: ReadonlyMap<string, NostrEvent>
  readonly read: Promise<unknown>
  readonly receipts: (command: string, wizard: string) => readonly Receipt[]
  readonly last: (command: string, wizard: string) => Receipt | undefined
  /** Commands that have any receipt, as `command wizard`. */
  readonly told: () => readonly string[]
  readonly artifacts: (command: string, wizard: string) => readonly Artifact[]
  /** Notes and reactions that answer an event. */
  readonly answers: (id: string, pubkey: string) => readonly NostrEvent[]
  readonly until: (holds: () => boolean) => Promise<void>
}

/** Of all relays: where the database is lost, what one relay had not been given yet is held by another alone. */
const openLedger = (clients: readonly TestClient[], authors: readonly string[]): Ledger => {
  const events = new Map<string, NostrEvent>()
  const chains = new Map<string, Receipt[]>()
  const artifacts = new Map<string, Artifact[]>()
  const answers = new Map<string, NostrEvent[]>()
  const looked = clients.map(() => 0)
  const received = (): number => clients.reduce((sum, client) => sum + client.received.length, 0)
  const put = <A>(map: Map<string, A[]>, key: string, value: A): void =>
    void map.set(key, [...(map.get(key) ?? []), value])
  const look = (): void => {
    for (const [at, client] of clients.entries()) {
      for (const frame of client.received.slice(looked[at]))
        if (frame[0] === "EVENT" && frame[1] === "ledger") hear(frame[2] as NostrEvent)
      looked[at] = client.received.length
    }
  }
  const hear = (event: NostrEvent): void => {
    if (events.has(event.id)) return
    events.set(event.id, event)
    const receipt = readReceipt(event)
    if (receipt !== undefined) put(chains, keyOf(receipt.command, receipt.wizard), receipt)
    const artifact = readArtifact(event)
    if (artifact !== undefined) put(artifacts, keyOf(artifact.command, artifact.wizard), artifact)
    if ((event.kind !== 1 && event.kind !== 7) || readHeartbeat(event) !== undefined) return
    for (const to of new Set(tagValues(event, "e"))) put(answers, keyOf(to, event.pubkey), event)
  }
  const receipts: Ledger["receipts"] = (command, wizard) => {
    look()
    return (chains.get(keyOf(command, wizard)) ?? []).toSorted((a, b) => a.n - b.n)
  }
  return {
    events,
    read: Promise.all(clients.map((client) => client.req("ledger", { authors, kinds: [1, 7, 78, 30078] }))),
    receipts,
    last: (command, wizard) => receipts(command, wizard).at(-1),
    told: () => {
      look()
      return [...chains.keys()]
    },
    artifacts: (command, wizard) => {
      look()
      return artifacts.get(keyOf(command, wizard)) ?? []
    },
    answers: (id, pubkey) => {
      look()
      return answers.get(keyOf(id, pubkey)) ?? []
    },
    until: async (holds) => {
      while (!holds()) {
        const known = received()
        await Promise.race(clients.map((client) => client.until(() => received() > known)))
      }
    },
  }
}

/** Commands as a person, and as others, would send them. */
const openFlow = (options: {
  readonly chance: ChanceShape
  readonly clients: readonly TestClient[]
  readonly wizards: readonly { readonly name: string; readonly pubkey: string }[]
}) => {
  const { chance, wizards } = options
  const [main, second] = options.clients as [TestClient, TestClient]
  const operator = generateSecretKey()
  const stranger = generateSecretKey()
  const expected = new Map<string, Expected>()
  const strangers: string[] = []
  const sent: NostrEvent[] = []
  let count = 0

  const pick = <A>(from: readonly A[]): A => from[Math.floor(chance.next() * from.length)] as A

  const publish = async (client: TestClient, event: NostrEvent): Promise<void> => {
    const { ok, message } = await client.publish(event)
    if (ok !== true) throw new Error(`the relay refused a command: ${String(message)}`)
  }

  const send = async (
    work: Expected["work"],
    body: string,
    name: string,
    more: readonly Tag[] = [],
  ): Promise<string> => {
    const form = work === "retry" || more.length > 0 || chance.next() < 0.8 ? "command" : "note"
    const targets = wizards.filter((wizard) => name === "all" || wizard.name === name)
    // By key, by name, or by both; with a `d` or, as the dispatch protocol has it, without.
    const tags: Tag[] = form === "note" ? [] : [["t", "dispatch-command"], ...more]
    if (form === "command" && chance.next() < 0.5) tags.push(...targets.map(({ pubkey }) => ["p", pubkey]))
    if (form === "command" && chance.next() < 0.5) tags.push(["d", chance.hex(8)])
    if (form === "command" && chance.next() < 0.3) tags.push(["priority", pick(["low", "high", "urgent"])])
    const event = signed({ kind: form === "command" ? 30079 : 1, tags, content: `@${name} ${body}` }, operator)
    for (const { name: wizard } of targets)
      expected.set(keyOf(event.id, wizard), { id: event.id, wizard, work, form, body })
    sent.push(event)
    await publish(main, event)
    if (chance.next() < 0.2) await publish(second, event)
    if (chance.next() < 0.1) await publish(main, event)
    return event.id
  }

  const anybody = (): string => pick([...wizards.map(({ name }) => name), "all"])
  const acts: readonly (readonly [number, () => Promise<unknown>])[] = [
    [0.35, () => send("task", `task number ${++count}`, anybody())],
    // Numbered by their id's content alone: two of one second would be one event, and are one command.
    [0.3, () => send("verb", pick(["status check", "help", "queue"]), anybody())],
    [0.07, () => send("verb", "heartbeat faster", anybody())],
    [
      0.1,
      async () => {
        const name = anybody()
        const tags = wizards.map(({ pubkey }) => ["p", pubkey])
        const event = signed({ kind: pick([1, 30079]), tags, content: `@${name} forbidden ${++count}` }, stranger)
        strangers.push(event.id)
        await publish(main, event)
      },
    ],
    // An old one again, on the other relay, where it is new.
    [0.18, async () => (sent.length === 0 ? undefined : publish(second, pick(sent)))],
  ]

  return {
    operator,
    expected,
    strangers,
    send,
    act: async (): Promise<unknown> => {
      let dice = chance.next()
      for (const [share, act] of acts) {
        dice -= share
        if (dice < 0) return act()
      }
      return undefined
    },
    retry: (command: string, wizard: string) => send("retry", `retry ${command}`, wizard),
  }
}

/** A git that outlived the kill may still take its lock files away; then the copy is made once more. */
const copyWhole = (from: string, to: string, filter: (file: string) => boolean): void => {
  for (let tries = 0; ; tries++) {
    try {
      return cpSync(from, to, { recursive: true, filter })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || tries === 50) throw error
      rmSync(to, { recursive: true, force: true })
    }
  }
}
