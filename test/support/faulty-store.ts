/** What the tiny relay of `faulty-relay.ts` takes, keeps and finds. */
import { type NostrEvent as Signed, verifyEvent } from "nostr-tools/pure"
import { eventId, type NostrEvent, tagValue } from "../../src/protocol/event.ts"
import { type Filter, matches } from "../../src/relay/filter.ts"
import type { Fault } from "./faults.ts"

export interface Store {
  /** `isNew`: to be told to subscribers. */
  readonly take: (event: NostrEvent) => { readonly ok: boolean; readonly message: string; readonly isNew: boolean }
  readonly find: (
    filters: readonly Filter[],
    maySee: (event: NostrEvent) => boolean,
  ) => { readonly events: readonly NostrEvent[]; readonly isCut: boolean }
}

export const faultyStore = (fault: Fault | undefined): Store => {
  const stored = new Map<string, NostrEvent>()
  const deleted = new Set<string>()
  const deletedAddresses = new Map<string, number>()
  const refused = (message: string) => ({ ok: false, message, isNew: false })

  const take: Store["take"] = (event) => {
    const isSound = fault === "trusts ids" ? signedFor(event) : isVerified(event)
    if (fault === "trusts signatures" ? eventId(event) !== event.id : !isSound)
      return refused("invalid: bad signature or id")
    if (event.kind === 22242) return refused("invalid: for AUTH only")
    if (fault !== "takes events of the future" && event.created_at > Date.now() / 1000 + 900)
      return refused("invalid: ahead")
    if (stored.has(event.id))
      return {
        ok: fault !== "refuses duplicates",
        message: "duplicate: known",
        isNew: fault === "tells duplicates again",
      }
    if (fault !== "takes what has expired" && isExpired(event)) return refused("invalid: expired")
    const address = addressOf(event)
    if (fault !== "forgets deletions" && isDeleted(event, address)) return refused("blocked: deleted")
    if (event.kind >= 20_000 && event.kind < 30_000 && fault !== "stores ephemerals")
      return { ok: true, message: "", isNew: true }
    if (address !== undefined && fault !== "keeps all versions") {
      const held = [...stored.values()].find((one) => addressOf(one) === address)
      if (held !== undefined) {
        if (!replaces(event, held)) return refused("duplicate: there is a newer one")
        stored.delete(held.id)
      }
    }
    stored.set(event.id, event)
    if (event.kind === 5) remove(event)
    return { ok: true, message: "", isNew: true }
  }

  const replaces = (event: NostrEvent, held: NostrEvent): boolean => {
    if (fault === "the last to come stays") return true
    const isLower = fault === "the highest id stays" ? event.id > held.id : event.id < held.id
    return event.created_at > held.created_at || (event.created_at === held.created_at && isLower)
  }

  const isDeleted = (event: NostrEvent, address: string | undefined): boolean =>
    deleted.has(`${event.id} ${event.pubkey}`) ||
    (event.kind === 1059 && event.tags.some(([name, value]) => name === "p" && deleted.has(`${event.id} ${value}`))) ||
    (address !== undefined && event.created_at <= (deletedAddresses.get(address) ?? -1))

  const remove = (deletion: NostrEvent): void => {
    for (const [name, value = ""] of deletion.tags) {
      if (name === "e") {
        const target = stored.get(value)
        const isOwn = target !== undefined && mayDelete(deletion, target)
        if (target === undefined || isOwn) deleted.add(`${value} ${deletion.pubkey}`)
        if (target !== undefined && isOwn && (target.kind !== 5 || fault === "deletes deletions")) stored.delete(value)
      }
      if (name === "a" && (value.split(":")[1] === deletion.pubkey || fault === "strangers delete")) {
        const address = value.split(":").slice(0, 2).join(":") + `:${value.split(":").slice(2).join(":")}`
        const until = fault === "an a tag deletes what is newer" ? Infinity : deletion.created_at
        deletedAddresses.set(address, Math.max(until, deletedAddresses.get(address) ?? 0))
        for (const one of stored.values())
          if (addressOf(one) === address && one.created_at <= until) stored.delete(one.id)
      }
    }
  }

  const mayDelete = (deletion: NostrEvent, target: NostrEvent): boolean =>
    fault === "strangers delete" ||
    target.pubkey === deletion.pubkey ||
    (target.kind === 1059 && target.tags.some(([name, value]) => name === "p" && value === deletion.pubkey))

  /** By question; only of a relay that has this fault. */
  const remembered = new Map<string, ReturnType<Store["find"]>>()
  const find: Store["find"] = (filters, maySee) => {
    if (fault !== "remembers its answers") return look(filters, maySee)
    const question = JSON.stringify(filters)
    const answer = remembered.get(question) ?? look(filters, maySee)
    remembered.set(question, answer)
    return answer
  }

  const look: Store["find"] = (filters, maySee) => {
    const found = new Set<NostrEvent>()
    const doubled: NostrEvent[] = []
    let isCut = false
    for (const filter of filters) {
      const { limit = 500 } = filter
      const all = [...stored.values()]
        .filter(
          (event) =>
            fitsStored(fault, filter, event) &&
            maySee(event) &&
            (fault === "serves what has expired" || !isExpired(event)),
        )
        .sort(
          fault === "oldest first"
            ? (a, b) => -inOrder(a, b)
            : fault === "ties by the highest id"
              ? byHighest
              : inOrder,
        )
      const page =
        fault === "limit is ignored" ? all : all.slice(0, fault === "limit 0 is no limit" && limit === 0 ? 500 : limit)
      isCut ||= page.length < all.length
      for (const event of page) {
        if (fault === "stored event once a filter") doubled.push(event)
        found.add(event)
      }
    }
    const events = fault === "stored event once a filter" ? doubled : [...found]
    if (filters.length > 1) events.sort(inOrder)
    return { events, isCut }
  }

  return { take, find }
}

const isVerified = (event: NostrEvent): boolean => verifyEvent(copied(event))
/** Right for the id that it names, whatever that is. */
const signedFor = (event: NostrEvent): boolean => /^[0-9a-f]{128}$/.test(event.sig)
const copied = (event: NostrEvent): Signed => ({ ...event, tags: event.tags.map((tag) => [...tag]) })

const inOrder = (a: NostrEvent, b: NostrEvent): number => b.created_at - a.created_at || (a.id < b.id ? -1 : 1)
const byHighest = (a: NostrEvent, b: NostrEvent): number => b.created_at - a.created_at || (a.id < b.id ? 1 : -1)

const fitsStored = (fault: Fault | undefined, filter: Filter, event: NostrEvent): boolean => {
  if (
    fault === "since and until are exclusive" &&
    (event.created_at === filter.since || event.created_at === filter.until)
  )
    return false
  if (fault === "an empty list fits all") {
    const kept = Object.entries(filter).filter(([, value]) => !(Array.isArray(value) && value.length === 0))
    return matches(Object.fromEntries(kept), event)
  }
  if (fault === "t is T") {
    const tags = event.tags.map(([name = "", ...rest]) => [name.toLowerCase(), ...rest])
    const lower = Object.entries(filter).map(([key, value]) => [key.toLowerCase(), value] as const)
    return matches(Object.fromEntries(lower), { ...event, tags })
  }
  if (fault === "any value of a tag counts") {
    const tags = event.tags.flatMap(([name = "", ...values]) => values.map((value) => [name, value]))
    return matches(filter, { ...event, tags })
  }
  return matches(filter, event)
}

const isExpired = (event: NostrEvent): boolean => {
  const at = tagValue(event, "expiration")
  return at !== undefined && /^\d+$/.test(at) && Number(at) <= Date.now() / 1000
}

/** Undefined for regular events. */
const addressOf = ({ kind, pubkey, tags }: NostrEvent): string | undefined => {
  if (kind === 0 || kind === 3 || (kind >= 10_000 && kind < 20_000)) return `${kind}:${pubkey}:`
  return kind >= 30_000 && kind < 40_000 ? `${kind}:${pubkey}:${tagValue({ tags }, "d") ?? ""}` : undefined
}
