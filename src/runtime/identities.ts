/**
 * Who is who at a start: the council's key, the wizards' keys, a person's. And, where the council's secret is kept, the
 * roster version that a new wizard or operator needs.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { NotCommitted } from "../engine/command-host.ts"
import { executors, isExecutorName } from "../executors/executors.ts"
import { keyFile, npubOf, parsePublicKey, readKey, readOrCreateKey } from "../identity/keys.ts"
import type { Signatures } from "../identity/signature-pool.ts"
import {
  isName,
  isOperator,
  isWizardClass,
  wizardByName,
  wizardClasses,
  type Roster,
  type RosterChange,
} from "../protocol/roster.ts"
import { classOfName } from "../roles/roles.ts"
import { sleep, type ClockShape } from "../services/clock.ts"
import type { StoreShape } from "../store/store.ts"
import { foundChannels } from "./charter.ts"
import type { Home } from "./home.ts"
import { placesOf } from "./orders.ts"
import { StartRefused, type RuntimeOptions } from "./options.ts"
import type { RosterKeeper } from "./roster-keeper.ts"

/** A home that lost its database still knows whom it obeys. */
const pinnedCouncil = (home: Home): string | undefined =>
  existsSync(home.pin) ? parsePublicKey(readFileSync(home.pin, "utf8")) : undefined

export const pinCouncil = (home: Home, pubkey: string): void => {
  if (existsSync(home.pin)) return
  writeFileSync(`${home.pin}.new`, `${npubOf(pubkey)}\n`, { flush: true })
  renameSync(`${home.pin}.new`, home.pin)
}

/** The keys that this start works with. Throws StartRefused and what `identity/keys.ts` throws. */
export const readIdentities = (options: RuntimeOptions, store: StoreShape, signatures: Signatures) => {
  const { home } = options
  // Judged before any key is made: a start that is refused leaves nothing behind.
  const chosen = choose(options)
  const stored = store.setting.get("runtime", "council") ?? pinnedCouncil(home)
  const pinned = options.council ?? stored
  if (options.council !== undefined && stored !== undefined && stored !== options.council) {
    throw new StartRefused({
      reason: `this home belongs to the council ${npubOf(stored)}: start without --council, or with another --home`,
    })
  }
  const councilFile = keyFile(home.explicit, "council")
  const kept = pinned === undefined ? readOrCreateKey(councilFile) : readKey(councilFile)
  const isOurs = kept !== undefined && (pinned === undefined || kept.pubkey === pinned)
  const council = {
    pubkey: pinned ?? (kept as { pubkey: string }).pubkey,
    signer: isOurs ? signatures.signerFor(kept.secret) : undefined,
    fresh: isOurs && "created" in kept && kept.created === true,
  }
  if (council.signer === undefined && options.relays.length === 0 && store.roster.all().length === 0) {
    throw new StartRefused({
      reason:
        "a council whose secret is not here is joined over a relay: add --relay wss://… (the one the council uses)",
    })
  }
  const wizards = chosen.map((wizard) => {
    const key = readOrCreateKey(keyFile(home.explicit, wizard.name))
    return { ...wizard, signer: signatures.signerFor(key.secret), fresh: key.created }
  })
  // A person's own key is admitted by --operator; only without one is a key made here, and only by who founds a council.
  const operatorFile = keyFile(home.explicit, "operator")
  const own = readKey(operatorFile)
  let held: { readonly pubkey: string; readonly created: boolean } | undefined =
    own === undefined ? undefined : { pubkey: own.pubkey, created: false }
  const operator = {
    held: () => held,
    create: () => (held = readOrCreateKey(operatorFile)),
  }
  return { council, wizards, operator, operators: options.operators }
}

/** The wizards that are asked for. Throws StartRefused. */
const choose = ({ roles, config }: RuntimeOptions) => {
  const twice = roles.find((role, i) => roles.findIndex(({ name }) => name === role.name) < i)
  if (twice !== undefined) throw new StartRefused({ reason: `${twice.name} is named twice: give each --role once` })
  return roles.map((role) => {
    const { name } = role
    if (!isName(name) || ["council", "operator", "all"].includes(name)) {
      throw new StartRefused({ reason: `"${name}" cannot be a wizard's name` })
    }
    const configured = config.roles?.[name]
    const className = role.class ?? configured?.class ?? classOfName(name)
    const classes = wizardClasses.join("|")
    if (className === undefined) {
      throw new StartRefused({ reason: `nobody knows a wizard called ${name}: say what it is with --class ${classes}` })
    }
    if (!isWizardClass(className)) throw new StartRefused({ reason: `there is no class "${className}" (${classes})` })
    const executor = role.executor ?? configured?.executor ?? (role.model === undefined ? "note" : "mlx")
    if (!isExecutorName(executor)) {
      const known = Object.keys(executors).join(", ")
      throw new StartRefused({ reason: `there is no executor "${executor}" (known: ${known})` })
    }
    const { model } = role
    const settings = model === undefined ? configured?.settings : { ...configured?.settings, model }
    return {
      name,
      className,
      executor: executors[executor],
      settings,
      checks: configured?.checks,
    }
  })
}

export type Identities = ReturnType<typeof readIdentities>

/**
 * Where the council's secret is kept: writes the version that a new role or operator needs (K3 of the keeper).
 */
export const settleRoster = async (
  options: RuntimeOptions,
  { council, wizards, operators, operator }: Identities,
  rosters: RosterKeeper,
  clock: ClockShape,
): Promise<void> => {
  if (council.signer === undefined) return
  await rosters.read
  for (;;) {
    try {
      return await writeChanges(options, { wizards, operators, operator }, rosters)
    } catch (error) {
      // No room on the disk: without it nobody could command, so it is tried until it is written.
      if (!(error instanceof NotCommitted)) throw error
      options.warn(`the roster could not be written, trying again: ${error.message}`)
      await sleep(clock, options.limits.retryMsMin)
    }
  }
}

const writeChanges = async (
  options: RuntimeOptions,
  { wizards, operators, operator }: Pick<Identities, "wizards" | "operators" | "operator">,
  rosters: RosterKeeper,
): Promise<void> => {
  await rosters.amend(async (held, council) => {
    const changes: RosterChange[] = []
    // Somebody must be able to command a council that is founded here.
    const founders = held === undefined && operators.length === 0 ? [operator.create().pubkey] : operators
    for (const pubkey of founders) {
      if (held === undefined || !isOperator(held, pubkey)) changes.push({ type: "add-operator", pubkey, label: "" })
    }
    for (const { name, className, signer } of wizards) {
      const { pubkey } = signer
      const known = held === undefined ? undefined : wizardByName(held, name)
      if (known === undefined) {
        const places = held === undefined ? [] : placesOf(held, className)
        changes.push({ type: "add-wizard", name, pubkey, class: className })
        for (const channel of places) changes.push({ type: "add-member", channel, pubkey })
      } else if (known.pubkey !== pubkey) {
        options.warn(
          `${name} has another key in the roster (${npubOf(known.pubkey)}): bring that key file back, or choose another name`,
        )
      }
    }
    const fresh = held === undefined ? options.relays.filter((url) => !isLoopback(url)) : []
    for (const url of fresh) changes.push({ type: "add-relay", url })
    return [...changes, ...(await foundChannels(held, everybodyIn(held, changes), council))]
  })
}

/** Who is in the roster with these changes. */
const everybodyIn = (held: Roster | undefined, changes: readonly RosterChange[]) => ({
  operators: [
    ...(held?.operators ?? []).map(({ pubkey }) => pubkey),
    ...changes.flatMap((change) => (change.type === "add-operator" ? [change.pubkey] : [])),
  ],
  wizards: [...(held?.wizards ?? []), ...changes.flatMap((change) => (change.type === "add-wizard" ? [change] : []))],
  relays: [...(held?.relays ?? []), ...changes.flatMap((change) => (change.type === "add-relay" ? [change.url] : []))],
})

export const isLoopback = (url: string): boolean =>
  /^wss?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/i.test(url)
