/**
 * Range-based set reconciliation (NIP-77, negentropy protocol 1), both sides. The library's own class asks only: it
 * answers a list of ids with nothing, and counts seconds in 32 bits. So the codec is written out here.
 *
 *     message := version, range*      range := upper bound, mode (skip | fingerprint | ids), payload
 *
 * G1  Every range is answered by skip, by our ids, or by the fingerprints of its parts; who asks skips where it was told
 *     the ids, as it knows then what it lacks.
 * G2  An answer is at most `bytesMax` long: where it would be longer, the rest is one range with its fingerprint.
 * G3  A message that is cut short or makes no sense is a fault, never an endless loop: each step takes from it.
 */
import { hash } from "node:crypto"

/** Events by second, then id. */
export interface IdSet {
  readonly size: number
  readonly seconds: Float64Array
  /** 32 bytes each. */
  readonly ids: Buffer
}

export interface Dated {
  readonly id: string
  /** Unix seconds. */
  readonly created_at: number
}

export class NegentropyFault extends Error {}

export const idSetOf = (events: readonly Dated[]): IdSet => {
  const sorted = events.toSorted((a, b) => a.created_at - b.created_at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const ids = Buffer.alloc(sorted.length * idBytes)
  for (const [at, { id }] of sorted.entries()) ids.write(id, at * idBytes, "hex")
  return { size: sorted.length, seconds: Float64Array.from(sorted, ({ created_at }) => created_at), ids }
}

/** The answering side. Throws NegentropyFault. */
export const respond = (set: IdSet, message: Buffer, bytesMax: number): Buffer => {
  const query = reader(message)
  // One byte tells a newer client to come down to this version.
  return versionOf(query) === ourVersion ? walk(set, query, bytesMax) : writer().done()
}

/** The first message of the asking side. */
export const openingOf = (set: IdSet): Buffer => {
  const out = writer()
  split(set, 0, set.size, infinity, out)
  return out.done()
}

/**
 * The asking side's answer, or undefined where nothing is left to ask. Ids that the other side has and we lack are added
 * to `need`, as hex. Throws NegentropyFault.
 */
export const reconcile = (set: IdSet, message: Buffer, bytesMax: number, need: Set<string>): Buffer | undefined => {
  const query = reader(message)
  if (versionOf(query) !== ourVersion) throw new NegentropyFault("the other side speaks another version")
  const next = walk(set, query, bytesMax, (ids, from, to) => {
    const held = new Set(hexOf(idsOf(set, from, to)))
    for (const id of hexOf(ids)) if (!held.has(id)) need.add(id)
  })
  return next.length === 1 ? undefined : next
}

const versionOf = (query: Reader): number => {
  const version = query.bytes(1)[0] as number
  if (version < 0x60 || version > 0x6f) throw new NegentropyFault("the first byte is no version of negentropy")
  return version
}

/** `told` hears of the ids in our range `from`–`to`: then that range needs no answer. */
const walk = (
  set: IdSet,
  query: Reader,
  bytesMax: number,
  told?: (ids: Buffer, from: number, to: number) => void,
): Buffer => {
  const out = writer()
  let previous: Bound = { second: 0, id: noBytes }
  let index = 0
  let isSkipDue = false
  const skipDue = (): void => {
    if (isSkipDue) out.range(previous, Mode.skip)
    isSkipDue = false
  }
  /** All that is left, in one range. */
  const rest = (from: number): Buffer => {
    out.range(infinity, Mode.fingerprint, fingerprint(set, from, set.size))
    return out.done()
  }

  while (query.left() > 0) {
    const bound = query.bound()
    const mode = query.varint()
    const upper = lowerBound(set, index, bound)
    let isEqual = mode === Mode.skip
    if (mode === Mode.fingerprint) isEqual = query.bytes(fingerprintBytes).equals(fingerprint(set, index, upper))
    else if (mode === Mode.ids) {
      const ids = query.bytes(query.varint() * idBytes)
      told?.(ids, index, upper)
      isEqual = told !== undefined
    } else if (mode !== Mode.skip) throw new NegentropyFault(`mode ${mode} is not known`)
    if (isEqual) isSkipDue = true
    else {
      skipDue()
      if (out.length() + rangeBytesMax > bytesMax) return rest(index)
      if (mode === Mode.fingerprint) split(set, index, upper, bound, out)
      else {
        const room = Math.floor((bytesMax - rangeBytesMax - out.length()) / idBytes)
        const end = Math.min(upper, index + room)
        out.range(end < upper ? itemBound(set, end) : bound, Mode.ids, varint(end - index), idsOf(set, index, end))
        if (end < upper) return rest(end)
      }
    }
    index = upper
    previous = bound
  }
  return out.done()
}

const ourVersion = 0x61
const idBytes = 32
const fingerprintBytes = 16
const Mode = { skip: 0, fingerprint: 1, ids: 2 } as const
const noBytes = Buffer.alloc(0)
/** The parts of a range whose fingerprints differ; a range of fewer than twice as many is told id by id. */
const partsOfRange = 16
/** More than a split, a skip and the rest's range take. */
const rangeBytesMax = 2048

interface Bound {
  readonly second: number
  /** The first bytes; the others are zero. */
  readonly id: Buffer
}

const infinity: Bound = { second: Infinity, id: noBytes }

const hexOf = (ids: Buffer): string[] =>
  Array.from({ length: ids.length / idBytes }, (_, n) => ids.toString("hex", n * idBytes, (n + 1) * idBytes))
const idsOf = ({ ids }: IdSet, from: number, to: number): Buffer => ids.subarray(from * idBytes, to * idBytes)
const itemBound = (set: IdSet, at: number): Bound => ({ second: set.seconds[at] as number, id: idsOf(set, at, at + 1) })

/** The first event from `from` on that is not before the bound. */
const lowerBound = (set: IdSet, from: number, bound: Bound): number => {
  let [low, high] = [from, set.size]
  while (low < high) {
    const middle = (low + high) >> 1
    const apart = (set.seconds[middle] as number) - bound.second
    if (apart < 0 || (apart === 0 && Buffer.compare(idsOf(set, middle, middle + 1), bound.id) < 0)) low = middle + 1
    else high = middle
  }
  return low
}

/** The sum of the ids as little-endian numbers of 256 bits, and how many there are, hashed. */
const fingerprint = ({ ids }: IdSet, from: number, to: number): Buffer => {
  const words = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let at = from * idBytes; at < to * idBytes; at += idBytes)
    for (let word = 0; word < 8; word++) words[word] = (words[word] as number) + ids.readUInt32LE(at + word * 4)
  const sum = Buffer.alloc(idBytes)
  let carry = 0
  for (const [n, word] of words.entries()) {
    const whole = word + carry
    sum.writeUInt32LE(whole % 2 ** 32, n * 4)
    carry = Math.floor(whole / 2 ** 32)
  }
  return hash("sha256", Buffer.concat([sum, varint(to - from)]), "buffer").subarray(0, fingerprintBytes)
}

const split = (set: IdSet, from: number, to: number, bound: Bound, out: Writer): void => {
  const count = to - from
  if (count < partsOfRange * 2) return out.range(bound, Mode.ids, varint(count), idsOf(set, from, to))
  let at = from
  for (let part = 0; part < partsOfRange; part++) {
    const end = at + Math.floor(count / partsOfRange) + (part < count % partsOfRange ? 1 : 0)
    out.range(end === to ? bound : between(set, end), Mode.fingerprint, fingerprint(set, at, end))
    at = end
  }
}

/** The shortest bound that divides an event from the one before it. */
const between = (set: IdSet, at: number): Bound => {
  const [before, item] = [itemBound(set, at - 1), itemBound(set, at)]
  if (before.second !== item.second) return { second: item.second, id: noBytes }
  let same = 0
  while (same < idBytes && before.id[same] === item.id[same]) same++
  return { second: item.second, id: item.id.subarray(0, same + 1) }
}

const varint = (value: number): Buffer => {
  const digits = [value % 128]
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left % 128) + 128)
  return Buffer.from(digits)
}

type Writer = ReturnType<typeof writer>

const writer = () => {
  const parts: Buffer[] = [Buffer.from([ourVersion])]
  let length = 1
  let lastSecond = 0
  return {
    length: () => length,
    range: (bound: Bound, mode: number, ...payload: readonly Buffer[]): void => {
      const second = bound.second === Infinity ? 0 : bound.second - lastSecond + 1
      if (bound.second !== Infinity) lastSecond = bound.second
      const added = [varint(second), varint(bound.id.length), bound.id, varint(mode), ...payload]
      for (const part of added) length += part.length
      parts.push(...added)
    },
    done: () => Buffer.concat(parts),
  }
}

type Reader = ReturnType<typeof reader>

const reader = (message: Buffer) => {
  let at = 0
  let lastSecond = 0
  const bytes = (count: number): Buffer => {
    if (count > message.length - at) throw new NegentropyFault("the message is cut short")
    return message.subarray(at, (at += count))
  }
  const number = (): number => {
    for (let value = 0; ;) {
      const digit = bytes(1)[0] as number
      value = value * 128 + (digit & 127)
      if (value > Number.MAX_SAFE_INTEGER) throw new NegentropyFault("a number is too large")
      if (digit < 128) return value
    }
  }
  return {
    left: () => message.length - at,
    bytes,
    varint: number,
    bound: (): Bound => {
      const offset = number()
      // Once infinity was reached nothing comes after it.
      lastSecond = offset === 0 ? Infinity : lastSecond + offset - 1
      const length = number()
      if (length > idBytes) throw new NegentropyFault("a bound's id is too long")
      return { second: lastSecond, id: bytes(length) }
    },
  }
}
