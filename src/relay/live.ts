/**
 * Who is told of a new event. Each filter stands in an index under the values of its narrowest condition, so an event
 * meets only the filters that could match it, however many subscriptions there are.
 *
 * L1  A subscription gets an event once, however many of its filters match.
 */
import type { NostrEvent } from "../protocol/event.ts"
import { type Filter, matches, tagConditions, tagSetsOf, type TagSets } from "./filter.ts"

export interface Subscription {
  readonly filters: readonly Filter[]
  /** Must not throw. */
  readonly deliver: (news: News) => void
}

/** An event on its way to everybody, made once for all. */
export interface News {
  readonly event: NostrEvent
  readonly json: string
}

export interface LiveFeed {
  /** From now on; returns what ends it. */
  readonly subscribe: (subscription: Subscription) => () => void
  readonly publish: (news: News) => void
  readonly count: () => number
}

export const liveFeed = (): LiveFeed => {
  const buckets = new Map<string, Set<Entry>>()
  let count = 0

  return {
    subscribe: (subscription) => {
      const places = subscription.filters.flatMap((filter) => {
        const entry = { subscription, filter }
        return placesOf(filter).map((place) => ({ place, entry }))
      })
      for (const { place, entry } of places) {
        const bucket = buckets.get(place)
        if (bucket === undefined) buckets.set(place, new Set([entry]))
        else bucket.add(entry)
      }
      count++
      return () => {
        count--
        for (const { place, entry } of places) {
          const bucket = buckets.get(place)
          bucket?.delete(entry)
          if (bucket?.size === 0) buckets.delete(place)
        }
      }
    },
    publish: (news) => {
      const { event } = news
      const tags = tagSetsOf(event)
      const found = new Set<Subscription>()
      for (const place of placesFor(event, tags))
        for (const { subscription, filter } of buckets.get(place) ?? [])
          if (!found.has(subscription) && matches(filter, event, tags)) found.add(subscription)
      for (const subscription of found) subscription.deliver(news)
    },
    count: () => count,
  }
}

interface Entry {
  readonly subscription: Subscription
  readonly filter: Filter
}

/** Where a filter stands: an event that it matches looks in at least one of these places. */
const placesOf = (filter: Filter): readonly string[] => {
  if (filter.ids !== undefined) return filter.ids.map((id) => `id ${id}`)
  if (filter.authors !== undefined) return filter.authors.map((pubkey) => `author ${pubkey}`)
  const tag = tagConditions(filter)[0]
  if (tag !== undefined) return tag[1].map((value) => `#${tag[0]} ${value}`)
  if (filter.kinds !== undefined) return filter.kinds.map((kind) => `kind ${kind}`)
  return ["any"]
}

/** Where an event looks. */
const placesFor = (event: NostrEvent, tags: TagSets): readonly string[] => [
  `id ${event.id}`,
  `author ${event.pubkey}`,
  `kind ${event.kind}`,
  "any",
  ...[...tags].flatMap(([name, values]) => [...values].map((value) => `#${name} ${value}`)),
]
