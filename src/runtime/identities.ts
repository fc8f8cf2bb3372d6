/**
 * Who is who at a start: the council's key, the wizards' keys, a person's. And, where the council's secret is kept, the
 * roster version that a new wizard or operator needs.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { executors, isExecutorName } from "../executors/executors.ts"
import { keyFile, npubOf, parsePublicKey, readKey, readOrCreateKey } from "../identity/keys.ts"
import type { Signatures } from "../identity/signature-pool.ts"
import { isName, isOperator, isWizardClass, wizardByName, type RosterChange } from "../protocol/roster.ts"
import { classOfName } from "../roles/roles.ts"
import type { StoreShape } from "../store/store.ts"
import type { Home } from "./home.ts"
import { StartRefused, type RuntimeOptions } from "./options.ts"
import type { RosterKeeper } from "./roster-keeper.ts"

/** A home that lost its database still knows whom it obeys. */
const pinnedCouncil = (home: Home): string | undefined =>
  existsSync(home.pin) ? parsePublicKey(readFileSync(home.pin, "utf8")) : undefined

export const pinCouncil = (home: Home, pubkey: string): void => {
  if (!existsSync(home.pin)) writeFileSync(home.pin, `${npubOf(pubkey)}\n`, { flush: true })
}

/** The keys that this start works with. Throws StartRefused and what `identity/keys.ts` throws. */
export const readIdentities = (options: RuntimeOptions, store: StoreShape, signatures: Signatures) => {
  const { home, config } = options
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
  const twice = options.roles.find((role, i) => options.roles.findIndex(({ name }) => name === role.name) < i)
  if (twice !== undefined) throw new StartRefused({ reason: `${twice.name} is named twice: give each --role once` })
  const wizards = options.roles.map((role) => {
    if (!isName(role.name) || role.name === "council" || role.name === "operator" || role.name === "all") {
      throw new StartRefused({ reason: `"${role.name}" cannot be a wizard's name` })
    }
    const configured = config.roles?.[role.name]
    const className = role.class ?? configured?.class ?? classOfName(role.name)
    if (className === undefined) {
      throw new StartRefused({
        reason: `nobody knows a wizard called ${role.name}: say what it is with --class worker|researcher|implementation|local|tempo|monitor`,
      })
    }
    if (!isWizardClass(className)) throw new StartRefused({ reason: `there is no class "${className}"` })
    const executorName = role.executor ?? configured?.executor ?? "note"
    if (!isExecutorName(executorName)) {
      throw new StartRefused({
        reason: `there is no executor "${executorName}" (known: ${Object.keys(executors).join(", ")})`,
      })
    }
    const key = readOrCreateKey(keyFile(home.explicit, role.name))
    return {
      name: role.name,
      className,
      executor: executors[executorName],
      signer: signatures.signerFor(key.secret),
      fresh: key.created,
    }
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

export type Identities = ReturnType<typeof readIdentities>

/**
 * Where the council's secret is kept: writes the version that a new role or operator needs (K3 of the keeper).
 */
export const settleRoster = async (
  options: RuntimeOptions,
  { council, wizards, operators, operator }: Identities,
  rosters: RosterKeeper,
): Promise<void> => {
  if (council.signer === undefined) return
  await rosters.read
  const held = rosters.inForce()
  const changes: RosterChange[] = []
  // Somebody must be able to command a council that is founded here.
  const founders = held === undefined && operators.length === 0 ? [operator.create().pubkey] : operators
  for (const pubkey of founders) {
    if (held === undefined || !isOperator(held, pubkey)) changes.push({ type: "add-operator", pubkey, label: "" })
  }
  for (const { name, className, signer } of wizards) {
    const known = held === undefined ? undefined : wizardByName(held, name)
    if (known === undefined) changes.push({ type: "add-wizard", name, pubkey: signer.pubkey, class: className })
    else if (known.pubkey !== signer.pubkey) {
      options.warn(
        `${name} has another key in the roster (${npubOf(known.pubkey)}): bring that key file back, or choose another name`,
      )
    }
  }
  const fresh = held === undefined ? options.relays.filter((url) => !isLoopback(url)) : []
  for (const url of fresh) changes.push({ type: "add-relay", url })
  if (changes.length > 0) await rosters.amend(changes)
}

export const isLoopback = (url: string): boolean =>
  /^wss?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/i.test(url)
