/**
 * The supervision tree: `runtime` (rest-for-one: the embedded relay, then the council) › `council` (one-for-one: the
 * wizards and the channels) › `wizard/<name>` (rest-for-one: its actor, then its connections).
 */
import { Effect } from "effect"
import { superviseActor } from "../../actors/bridge.ts"
import { runChannel } from "../../actors/channel.ts"
import type { EngineShape } from "../engine/engine.ts"
import type { Limits } from "../limits.ts"
import type { RelayServer } from "../relay/relay.ts"
import type { ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import type { RosterKeeper } from "./roster-keeper.ts"
import { asChild, supervisor, type Child, type SupervisorHandle } from "./supervisor.ts"
import type { WizardHost } from "./wizard.ts"

export interface EmbeddedRelay {
  /** The one that the start opened, so that a busy port is told at once. */
  readonly first: RelayServer
  /** Resolves with the fault of the first one, if it breaks. */
  readonly broken: Promise<Error>
  /** Opens it anew, on the same port. */
  readonly again: (onBroken: (error: Error) => void) => Promise<RelayServer>
}

export const treeOf = (parts: {
  readonly limits: Limits
  readonly clock: ClockShape
  readonly warn: (message: string) => void
  readonly engine: EngineShape
  readonly store: StoreShape
  readonly wizards: readonly WizardHost[]
  readonly rosters: RosterKeeper
  readonly relay: EmbeddedRelay | undefined
}): SupervisorHandle & { readonly wizard: (name: string) => SupervisorHandle } => {
  const { limits, clock, warn, engine, store, wizards, rosters } = parts
  const record = ({ path, reason, atMs }: { path: string; reason: string; atMs: number }): void => {
    warn(`${path} was restarted: ${reason}`)
    // On a full disk the restart goes on untold.
    void engine
      .write(() => store.restart.add(atMs, path, reason))
      .catch((error: unknown) => warn(`a restart was not recorded: ${(error as Error).message}`))
  }
  const common = { limits, clock, record }
  const wizardSupervisors = new Map(
    wizards.map(({ name, children }) => [
      name,
      supervisor({ ...common, name: `runtime/council/wizard/${name}`, strategy: "rest-for-one", children }),
    ]),
  )
  const wizardTrees = [...wizardSupervisors].map(([name, handle]) => asChild(`wizard/${name}`, handle))
  const council = supervisor({ ...common, name: "runtime/council", strategy: "one-for-one", children: wizardTrees })
  const channels = new Set<string>()
  const follow = (): void => {
    for (const { name, id } of rosters.inForce()?.channels ?? []) {
      if (channels.has(name)) continue
      channels.add(name)
      void Effect.runPromise(council.add(channelChild(name, id, rosters, limits)))
    }
  }
  rosters.watch(follow)
  follow()
  const relay: readonly Child[] = parts.relay === undefined ? [] : [relayChild(parts.relay)]
  const runtime = supervisor({
    ...common,
    name: "runtime",
    strategy: "rest-for-one",
    children: [...relay, asChild("council", council)],
  })
  return { ...runtime, wizard: (name) => wizardSupervisors.get(name) as SupervisorHandle }
}

const relayChild = ({ first, broken, again }: EmbeddedRelay): Child => {
  let next: { readonly server: RelayServer; readonly broken: Promise<Error> } | undefined = { server: first, broken }
  return {
    name: "relay",
    restart: "permanent",
    run: Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const fault = Promise.withResolvers<Error>()
          const opened = next ?? { server: await again(fault.resolve), broken: fault.promise }
          next = undefined
          return opened
        },
        catch: (error) => error,
      }),
      ({ server }) => Effect.promise(server.close),
    ).pipe(Effect.flatMap((opened) => Effect.promise(() => opened.broken).pipe(Effect.flatMap(Effect.fail)))),
  }
}

const channelChild = (name: string, id: string, rosters: RosterKeeper, limits: Limits): Child => ({
  name: `channel/${name}`,
  restart: "transient",
  run: superviseActor(`channel/${name}`, () => {
    const channel = runChannel({ limits, accepted: () => {}, refused: () => {} })
    const define = (): void => {
      const members = rosters.inForce()?.members.filter((member) => member.channel === name) ?? []
      channel.define(
        id,
        members.map(({ pubkey }) => pubkey),
      )
    }
    const unwatch = rosters.watch(define)
    define()
    return { actor: channel.actor, close: () => channel.close().finally(unwatch) }
  }),
})
