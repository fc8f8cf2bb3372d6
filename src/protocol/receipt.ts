/**
 * The dispatch receipt (kind 78): one for each state that a command enters at one wizard, chained by `prev`, so that
 * anybody can check what was done about a command without our database.
 *
 * R1 The first receipt has n = 1, no `prev`, and says `received`; each next has n + 1 and names the one before.
 * R2 A chain has one signer, one command, one wizard and one author of the command.
 * R3 A state follows only where `status.ts` lets it; so an end is the last, and there is at most one.
 * R4 The verdict on a chain depends on the set of its receipts only, not on their order nor on copies.
 */
import { isHex64, tagValue, type EventTemplate, type UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"
import { isStatus, mayFollow, type Status } from "./status.ts"

/** What a receipt says beside its tags: for people (`reason`) and for whoever looks closely. */
export interface ReceiptContent {
  readonly reason?: string
  readonly attempt?: number
  readonly [key: string]: unknown
}

export interface ReceiptFields {
  /** The command's event id. */
  readonly command: string
  /** The public key of the command's author. */
  readonly author: string
  /** The wizard's name. */
  readonly wizard: string
  readonly status: Status
  /** The id of the receipt before; absent in the first. */
  readonly prev?: string
  /** Its place in the chain, from 1. */
  readonly n: number
  /** The version of the roster in force. */
  readonly roster: number
  /** Which life of the wizard's key wrote it. */
  readonly instance: string
  /** Unix seconds. */
  readonly createdAt: number
  readonly content: ReceiptContent
}

/** A receipt that was read: its fields, its event's id, and its signer. */
export interface Receipt extends ReceiptFields {
  readonly id: string
  readonly pubkey: string
}

export const receiptTemplate = (fields: ReceiptFields): EventTemplate => ({
  kind: Kind.record,
  created_at: fields.createdAt,
  tags: [
    ["t", receiptMark],
    ["e", fields.command],
    ["p", fields.author],
    ["wizard", fields.wizard],
    ["status", fields.status],
    ...(fields.prev === undefined ? [] : [["prev", fields.prev]]),
    ["n", String(fields.n)],
    ["roster", String(fields.roster)],
    ["instance", fields.instance],
  ],
  content: JSON.stringify(fields.content),
})

/** The receipt that an event is, or undefined. Whether its signer may say so is not judged here. */
export const readReceipt = (event: UnsignedEvent): Receipt | undefined => {
  if (event.kind !== Kind.record || tagValue(event, "t") !== receiptMark) return undefined
  const command = tagValue(event, "e")
  const author = tagValue(event, "p")
  const wizard = tagValue(event, "wizard")
  const status = tagValue(event, "status")
  const prev = tagValue(event, "prev")
  const n = parseCount(tagValue(event, "n"))
  const roster = parseCount(tagValue(event, "roster"))
  const instance = tagValue(event, "instance")
  const content = parseContent(event.content)
  if (!isHex64(command) || !isHex64(author) || !wizard || !isStatus(status)) return undefined
  if (prev !== undefined && !isHex64(prev)) return undefined
  if (n === undefined || roster === undefined || !instance || content === undefined) return undefined
  const place = { command, author, wizard, status, ...(prev !== undefined && { prev }), n, roster, instance }
  return { id: event.id, pubkey: event.pubkey, ...place, createdAt: event.created_at, content }
}

/** Says what is wrong with a chain (R1 to R4), or nothing. An empty one is no chain. */
export const checkChain = (receipts: readonly Receipt[]): string | undefined => {
  const chain = [...new Map(receipts.map((receipt) => [receipt.id, receipt])).values()]
  chain.sort((a, b) => a.n - b.n || (a.id < b.id ? -1 : 1))
  const first = chain[0]
  if (first === undefined) return "there is no receipt"
  if (first.n !== 1) return `the chain begins at ${first.n}, not at 1`
  if (first.prev !== undefined) return "the first receipt names one before it"
  if (first.status !== "received") return `the chain begins with ${first.status}, not with received`
  for (const [at, receipt] of chain.entries()) {
    const before = chain[at - 1]
    const fault = before === undefined ? undefined : linkFault(before, receipt)
    if (fault !== undefined) return fault
  }
  return undefined
}

const receiptMark = "dispatch-receipt"

const linkFault = (before: Receipt, after: Receipt): string | undefined => {
  if (after.n === before.n) return `the chain forks: two receipts say ${after.n}`
  if (after.n !== before.n + 1) return `receipt ${before.n + 1} is missing`
  if (after.prev !== before.id) return `receipt ${after.n} does not name the one before it`
  if (after.pubkey !== before.pubkey) return `receipt ${after.n} has another signer`
  if (after.command !== before.command) return `receipt ${after.n} is about another command`
  if (after.wizard !== before.wizard) return `receipt ${after.n} names another wizard`
  if (after.author !== before.author) return `receipt ${after.n} names another author`
  if (!mayFollow(before.status, after.status)) return `${after.status} cannot follow ${before.status}`
  return undefined
}

/** A whole number of at most nine digits, as our senders print it. */
const parseCount = (text: string | undefined): number | undefined =>
  text !== undefined && /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined

const parseContent = (text: string): ReceiptContent | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as ReceiptContent) : undefined
  } catch {
    return undefined
  }
}
