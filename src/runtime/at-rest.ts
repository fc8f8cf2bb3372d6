/**
 * An order about the roster while nothing runs on the home that keeps the council's secret: the same keeper, over the
 * same store, for as long as it takes to read the relays, write the next version and give it to them.
 *
 * AR1 It holds the home's lock, so no runtime writes meanwhile.
 * AR2 Nothing is signed before the relays gave what they hold (K3). The embedded relay is read from its own database.
 * AR3 It ends when each relay that can be reached has what the council signed; the others get it at the next start.
 */
import { existsSync } from "node:fs"
import { Effect, type Scope } from "effect"
import { isConnected, openRelayConnection, type RelayConnection } from "../../actors/relay-connection.ts"
import { openEngine } from "../engine/engine.ts"
import { keyFile, readKey } from "../identity/keys.ts"
import { SignaturePool } from "../identity/signature-pool.ts"
import { Verifier } from "../identity/verifier.ts"
import type { Limits } from "../limits.ts"
import { isQuestion, type Order } from "../protocol/orders.ts"
import { serveRelay } from "../relay/relay.ts"
import { Chance } from "../services/chance.ts"
import { Clock, sleep } from "../services/clock.ts"
import { Socket } from "../services/socket.ts"
import { takeLock } from "../store/lock.ts"
import { openStore } from "../store/store.ts"
import { carryOut, type Carried } from "./desk.ts"
import type { Home } from "./home.ts"
import { NotThere } from "./options.ts"
import { RelayUnreachable } from "./ping.ts"
import { rosterFilter } from "./reading.ts"
import { openRosterKeeper, RosterRefused, type RosterKeeper } from "./roster-keeper.ts"
import type { RuntimeServices } from "./runtime.ts"

export interface AtRest {
  readonly home: Home
  readonly limits: Limits
  readonly order: Order
  /** The wizard that joins or leaves. */
  readonly self: string
  readonly warn: (message: string) => void
}

/** Fails with NotThere, HomeHeld, OrderRefused, RosterRefused, RelayUnreachable. */
export const orderAtRest = (options: AtRest): Effect.Effect<Carried, unknown, Scope.Scope | RuntimeServices> =>
  Effect.gen(function* () {
    const { home, limits, order, self, warn } = options
    const clock = yield* Clock
    const chance = yield* Chance
    const socket = yield* Socket
    const verifier = yield* Verifier
    const signatures = yield* SignaturePool
    if (!existsSync(home.database)) return yield* Effect.fail(neverStarted())
    yield* held(
      () => takeLock(home.dir, clock),
      (lock) => lock.release(),
    )
    const store = yield* held(
      () => openStore(home.database),
      (opened) => opened.database.close(),
    )
    const council = store.setting.get("runtime", "council")
    const relays = JSON.parse(store.setting.get("runtime", "relays") ?? "[]") as string[]
    if (council === undefined || relays.length === 0) return yield* Effect.fail(neverStarted())
    const key = readKey(keyFile(home.explicit, "council"))
    const signer = key?.pubkey === council ? signatures.signerFor(key.secret) : undefined
    const engine = yield* held(
      () => openEngine({ store, clock, limits, kinds: {}, projections: {} }),
      (opened) => opened.stop(),
    )
    const isEmbedded = store.setting.get("runtime", "embedded")
    const served =
      signer !== undefined && isEmbedded !== undefined
        ? yield* held(
            () => serveRelay({ port: 0, file: home.relayDatabase, verifier, clock, chance, limits, council }),
            (server) => server.close(),
          )
        : undefined
    const urls = relays.map((url) => (served !== undefined && url === isEmbedded ? served.url : url))
    const rosters = openRosterKeeper({ council, signer, fresh: false, relays: urls, engine, store, clock, warn })
    if (signer === undefined || isQuestion(order))
      return yield* Effect.tryPromise({ try: () => carryOut(order, self, { rosters, store }), catch: (error) => error })
    const heard = new Set<string>()
    const open = (url: string): Reach => {
      const connection = openRelayConnection({
        url,
        identity: council,
        socket,
        clock,
        chance,
        limits,
        verifier,
        signer,
        subscriptions: () => [{ name: "roster", filters: [rosterFilter(council)], sinceMs: () => undefined }],
        take: async ({ events, cursorMs }) => {
          for (const event of events) {
            await rosters.offer(event)
            rosters.given(url).add(event.id)
          }
          if (cursorMs === undefined) return
          heard.add(url)
          rosters.heardRelay(url)
        },
        read: () => {},
        changed: () => {},
      })
      return { url, connection }
    }
    const reached = yield* held(
      () => urls.map(open),
      (all) => Promise.all(all.map(({ connection }) => connection.close())).then(() => undefined),
    )
    return yield* Effect.tryPromise({
      try: async () => {
        const isOpen = ({ url, connection }: Reach): boolean => !heard.has(url) && connection.status().attempts === 0
        for (let waitedMs = 0; waitedMs < limits.connectMsMax && reached.some(isOpen); waitedMs += lookMs)
          await sleep(clock, lookMs)
        const carried = await carryOut(order, self, { rosters, store }).catch((error: unknown) => {
          const away = reached.find(({ connection }) => !isConnected(connection.status().state))
          if (!(error instanceof RosterRefused) || away === undefined) throw error
          throw new RelayUnreachable({
            url: away.url,
            reason: `${away.connection.status().lastError ?? "it does not answer"}; ${error.message}`,
          })
        })
        await give(reached, rosters, warn)
        return carried
      },
      catch: (error) => error,
    })
  })

const neverStarted = (): NotThere =>
  new NotThere({ reason: "this home was never started: runtime start --role NAME founds or joins a council" })

interface Reach {
  readonly url: string
  readonly connection: RelayConnection
}

/** How often it is looked whether all relays are read, or lost. */
const lookMs = 20

/** AR3. */
const give = async (
  reached: readonly Reach[],
  rosters: RosterKeeper,
  warn: (message: string) => void,
): Promise<void> => {
  for (const { url, connection } of reached) {
    if (!isConnected(connection.status().state)) {
      warn(`${url} cannot be reached: it gets the new version when a runtime is started here`)
      continue
    }
    for (const { id, event } of rosters.signed()) {
      if (rosters.given(url).has(id)) continue
      const answer = await connection
        .publish(event())
        .catch((error: unknown) => ({ accepted: false, message: (error as Error).message }))
      if (!answer.accepted) warn(`${url} did not take it: ${answer.message}`)
    }
  }
}

const held = <A>(open: () => A | Promise<A>, close: (opened: A) => void | Promise<void>) =>
  Effect.acquireRelease(Effect.tryPromise({ try: async () => open(), catch: (error) => error }), (opened) =>
    Effect.promise(async () => close(opened)),
  )
