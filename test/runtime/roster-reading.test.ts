/** Wizards of one home at a relay that misbehaves as it is told: who reads the roster there, and who asks for commands. */
import { Deferred, Effect, Fiber } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import { limits } from "../../src/limits.ts"
import { homeOf } from "../../src/runtime/home.ts"
import { live } from "../../src/runtime/live.ts"
import { openRuntime, type Runtime } from "../../src/runtime/runtime.ts"
import { keyPair } from "../support/relay-harness.ts"
import { scriptedRelay, type Client, type Script, type ScriptedRelay } from "../support/scripted-relay.ts"

const names = ["timmy", "claude", "kimi"] as const
const operator = keyPair()

const start = async (script: Script): Promise<{ readonly relay: ScriptedRelay; readonly runtime: Runtime }> => {
  const relay = await scriptedRelay(script)
  onTestFinished(relay.close)
  const dir = mkdtempSync(join(tmpdir(), "wizardly-roster-"))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const opened = await Effect.runPromise(Deferred.make<Runtime, unknown>())
  const fiber = Effect.runFork(
    openRuntime({
      home: homeOf(dir),
      roles: names.map((name) => ({ name, class: "worker", executor: "none" })),
      relays: [relay.url],
      relayPort: 0,
      council: undefined,
      operators: [operator.pubkey],
      config: {},
      limits: { ...limits, reconnectMsMin: 5, reconnectMsMax: 20, instanceWaitSeconds: 0.05 },
      warn: () => {},
    }).pipe(
      Effect.tap((runtime) => Deferred.succeed(opened, runtime)),
      Effect.flatMap((runtime) => runtime.run),
      Effect.onError((cause) => Deferred.failCause(opened, cause)),
      Effect.scoped,
      Effect.provide(live),
    ),
  )
  onTestFinished(() => Effect.runPromise(Fiber.interrupt(fiber)))
  return { relay, runtime: await Effect.runPromise(Deferred.await(opened)) }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await pause(10)
}

const isRoster = (id: string): boolean => id.startsWith("roster/")
const subscribed = (name: string) => (client: Client) =>
  [...client.subscriptions.keys()].some((id) => id.startsWith(`${name}/`))
/** Clients that are subscribed to that now. */
const at = (relay: ScriptedRelay, name: string): readonly Client[] => relay.clients.filter(subscribed(name))
const everybodyListens = (relay: ScriptedRelay) => (): boolean => at(relay, "commands").length === names.length

/** One command for each wizard, and each says that it has it. */
const eachHears = async (relay: ScriptedRelay, runtime: Runtime): Promise<void> => {
  for (const name of names) {
    const command = operator.event(`@${name} thing`, Math.floor(Date.now() / 1000), 30079)
    relay.give(command)
    const pubkey = runtime.wizards.find((wizard) => wizard.name === name)?.pubkey
    await until(() =>
      relay.stored.some((event) => event.pubkey === pubkey && event.tags.some(([, value]) => value === command.id)),
    )
  }
}

describe("the roster's reading", () => {
  it("RR1 RR2: one reads, all hear commands; when its connection is lost the next one does", async () => {
    const { relay, runtime } = await start({})
    await until(everybodyListens(relay))
    expect(at(relay, "roster")).toHaveLength(1)
    at(relay, "roster")[0]?.cut()
    await until(() => at(relay, "roster").length === 1 && everybodyListens(relay)())
    await eachHears(relay, runtime)
  })

  it("RR2: what others asked for on connections of their own goes on when the one's is lost", async () => {
    const { relay } = await start({})
    await until(everybodyListens(relay))
    const [one] = at(relay, "roster")
    const commandsOf = (client: Client): readonly string[] =>
      client.asked.map(({ id }) => id).filter((id) => id.startsWith("commands/"))
    const others = relay.clients.filter((client) => client !== one && subscribed("commands")(client))
    const before = others.map(commandsOf)
    one?.cut()
    await until(() => at(relay, "roster").length === 1 && at(relay, "roster")[0] !== one && everybodyListens(relay)())
    expect(others.map(commandsOf)).toEqual(before)
    expect(others.every(subscribed("commands"))).toBe(true)
  })

  it("RR3 RR4: the one is refused and the others read for themselves; when it is lost they hear commands still", async () => {
    let refused: Client | undefined
    const { relay, runtime } = await start({
      onReq: (id, _filter, client) => {
        if (!isRoster(id)) return undefined
        refused ??= client
        return refused === client ? [["CLOSED", id, "restricted: not for you"]] : undefined
      },
    })
    await until(everybodyListens(relay))
    await until(() => at(relay, "roster").length === 1)
    refused?.cut()
    await pause(100)
    await until(everybodyListens(relay))
    await eachHears(relay, runtime)
    expect(at(relay, "roster").length).toBeGreaterThan(0)
  })

  it("RR3: the relay refuses later what it gave the one: another one reads", async () => {
    const { relay, runtime } = await start({})
    await until(everybodyListens(relay))
    const [one] = at(relay, "roster")
    const [id = ""] = [...(one?.subscriptions.keys() ?? [])].filter(isRoster)
    one?.subscriptions.delete(id)
    one?.send("CLOSED", id, "restricted: no more")
    await until(() => at(relay, "roster").length === 1 && everybodyListens(relay)())
    await eachHears(relay, runtime)
    expect(at(relay, "roster")[0]).not.toBe(one)
  })

  it("RR3: the relay closes for now what it gave the one: the others read, until the one does again", async () => {
    const { relay, runtime } = await start({})
    await until(everybodyListens(relay))
    const [one] = at(relay, "roster")
    const [id = ""] = [...(one?.subscriptions.keys() ?? [])].filter(isRoster)
    let isBusy = true
    relay.script = {
      onReq: (asked, _filter, client) =>
        isBusy && client === one && isRoster(asked) ? [["CLOSED", asked, "error: busy"]] : undefined,
    }
    one?.subscriptions.delete(id)
    one?.send("CLOSED", id, "error: busy")
    await until(() => at(relay, "roster").length > 0 && everybodyListens(relay)())
    expect(at(relay, "roster").includes(one as Client)).toBe(false)
    await eachHears(relay, runtime)
    isBusy = false
    await until(() => at(relay, "roster").length > 0 && everybodyListens(relay)())
    await eachHears(relay, runtime)
  })

  it("RR3: a relay that refuses everybody after each reading is not asked for ever", async () => {
    const { relay } = await start({
      onReq: (id, _filter, client) => {
        if (!isRoster(id)) return undefined
        setTimeout(() => client.send("CLOSED", id, "restricted: nothing live here"), 20)
        return [["EOSE", id, ["finish"]]]
      },
    })
    await until(everybodyListens(relay))
    const asked = (): number => relay.clients.flatMap((client) => client.asked).filter(({ id }) => isRoster(id)).length
    await pause(300)
    const before = asked()
    await pause(500)
    expect(asked()).toBe(before)
  })

  it("RC5 P11: a relay that takes nobody's AUTH is left alone by all", async () => {
    const { relay, runtime } = await start({
      auth: true,
      onReq: (_id, _filter, client) => {
        client.challenge = "another one"
        return undefined
      },
    })
    const states = (): readonly string[] =>
      runtime.wizards.flatMap((wizard) => wizard.relays().map(({ state }) => state))
    const isLeftAlone = (): boolean => states().join() === names.map(() => "suspended").join()
    await until(isLeftAlone)
    // The start has reasons of its own to ask anew: a roster version, the end of the history.
    for (let before = 0; before < relay.clients.length; await pause(500)) before = relay.clients.length
    expect(isLeftAlone()).toBe(true)
  })

  it("U6: where the one's connection is lost, the others' refused events are not offered anew", async () => {
    const { relay, runtime } = await start({})
    await until(everybodyListens(relay))
    const [one] = at(relay, "roster")
    const isOf = (pubkey: string) => (client: Client) =>
      client.asked.some(({ id, filter }) => id.startsWith("own/") && filter.authors?.[0] === pubkey)
    const other = runtime.wizards.find(({ pubkey }) => !isOf(pubkey)(one as Client))
    const offered: string[] = []
    relay.script = {
      onEvent: ({ pubkey, id, tags }) => {
        if (pubkey !== other?.pubkey || !tags.some(([, value]) => value === command.id)) return undefined
        offered.push(id)
        return [["OK", id, false, "blocked: not for now"]]
      },
    }
    const command = operator.event(`@${other?.name} thing`, Math.floor(Date.now() / 1000), 30079)
    relay.give(command)
    await until(() => offered.length > 0)
    one?.cut()
    await until(() => at(relay, "roster").length === 1 && at(relay, "roster")[0] !== one && everybodyListens(relay)())
    await pause(200)
    expect(offered).toHaveLength(1)
  })
})
