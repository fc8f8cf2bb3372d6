/** A council for the tests of this room: the seed's names, two operators, a member, a revoked wizard, a stranger. */
import type { NostrEvent, Tag } from "../../src/protocol/event.ts"
import { withId } from "../../src/protocol/event.ts"
import type { Roster } from "../../src/protocol/roster.ts"

export const keys = {
  alexander: "0a".repeat(32),
  deputy: "0b".repeat(32),
  member: "0c".repeat(32),
  stranger: "0d".repeat(32),
  allegro: "a0".repeat(32),
  timmy: "a1".repeat(32),
  kimi: "a2".repeat(32),
  claude: "a3".repeat(32),
  watcher: "a4".repeat(32),
  manus: "a5".repeat(32),
} as const

export const roster: Roster = {
  version: 3,
  id: "f0".repeat(32),
  prev: "f1".repeat(32),
  operators: [
    { pubkey: keys.alexander, label: "Alexander" },
    { pubkey: keys.deputy, label: "" },
  ],
  wizards: [
    { name: "timmy", pubkey: keys.timmy, class: "local" },
    { name: "kimi", pubkey: keys.kimi, class: "worker" },
    { name: "allegro", pubkey: keys.allegro, class: "tempo" },
    { name: "claude", pubkey: keys.claude, class: "worker" },
    { name: "watcher", pubkey: keys.watcher, class: "monitor" },
    { name: "manus", pubkey: keys.manus, class: "researcher" },
  ],
  channels: [{ name: "workers", id: "f2".repeat(32) }],
  rooms: [],
  members: [{ channel: "workers", pubkey: keys.member }],
  relays: [],
  revoked: [keys.manus],
}

/** Every wizard whose key is good, in the roster's order. */
export const everybody = ["timmy", "kimi", "allegro", "claude", "watcher"]

export const nowMs = 1_800_000_000_000

export const write = (fields: {
  readonly content: string
  readonly kind?: number
  readonly tags?: readonly Tag[]
  readonly author?: string
  readonly createdAt?: number
}): NostrEvent => ({
  ...withId(fields.author ?? keys.alexander, {
    kind: fields.kind ?? 30079,
    created_at: fields.createdAt ?? nowMs / 1000,
    tags: fields.tags ?? [],
    content: fields.content,
  }),
  sig: "00".repeat(64),
})
