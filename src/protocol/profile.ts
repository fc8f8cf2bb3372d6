/**
 * A wizard's profile (kind 0), so that a phone shows a name where it would show a key. It says `bot` (NIP-24). Names
 * are never resolved by profiles: anybody may call themselves anything; the roster says who is who.
 */
import type { EventTemplate, UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"

export interface Profile {
  readonly name: string
  readonly about: string
  readonly bot: boolean
}

/** `createdAt` in unix seconds. */
export const profileTemplate = (fields: {
  readonly name: string
  readonly about: string
  readonly createdAt: number
}): EventTemplate => ({
  kind: Kind.profile,
  created_at: fields.createdAt,
  tags: [],
  content: JSON.stringify({ name: fields.name, about: fields.about, bot: true }),
})

/** The profile that an event is, what is missing in it empty; undefined for another kind or unreadable content. */
export const readProfile = (event: UnsignedEvent): Profile | undefined => {
  if (event.kind !== Kind.profile) return undefined
  let value: unknown
  try {
    value = JSON.parse(event.content)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  const { name, about, bot } = value as Record<string, unknown>
  return {
    name: typeof name === "string" ? name : "",
    about: typeof about === "string" ? about : "",
    bot: bot === true,
  }
}
