/**
 * Moments and lengths of time as people and programs write them. Strict: what has two readings is unreadable, since a
 * wrong guess would run something too late, or not at all.
 *
 * A deadline is ISO 8601 (`2026-03-31T12:00:00Z`; without a zone it is UTC; a date alone is the end of that day) or
 * unix seconds. Eight digits are neither: `20260331` is a date to one and a second of 1970 to another; nor are thirteen
 * (milliseconds).
 */

/** A deadline tag's value to unix milliseconds; undefined if it is unreadable. */
export const parseDeadline = (text: string): number | undefined => {
  if (/^\d{1,12}$/.test(text)) return text.length === 8 ? undefined : Number(text) * 1000
  const match = isoForm.exec(text)
  if (match === null) return undefined
  const [, date = "", hours, minutes = "", seconds = "00", fraction = "", zone = ""] = match
  if (!isDate(date)) return undefined
  if (hours === undefined) return Date.parse(`${date}T23:59:59.999Z`)
  const utcMs = Date.parse(`${date}T${hours}:${minutes}:${seconds}.${fraction.slice(0, 3).padEnd(3, "0")}Z`)
  const zoneMs = zoneOffsetMs(zone)
  return Number.isNaN(utcMs) || hours === "24" || zoneMs === undefined ? undefined : utcMs - zoneMs
}

/** What a person may type at our own CLI: a deadline as above, or `in 2h`, counted from now. */
export const parseDeadlineOption = (text: string, nowMs: number): number | undefined => {
  const relative = /^in\s+(.+)$/i.exec(text.trim())
  if (relative === null) return parseDeadline(text.trim())
  const seconds = parseDuration(relative[1] ?? "")
  return seconds === undefined ? undefined : nowMs + seconds * 1000
}

/** Unix milliseconds as our senders write a deadline. */
export const printDeadline = (deadlineMs: number): string =>
  deadlineMs >= 0 && deadlineMs < isoMsEnd
    ? new Date(deadlineMs).toISOString().replace(".000Z", "Z")
    : String(Math.floor(deadlineMs / 1000))

/** `90s`, `5m`, `2h`, `1 day` to whole seconds, more than none and at most a hundred years; else undefined. */
export const parseDuration = (text: string): number | undefined => {
  const match = /^(\d{1,10}) ?([a-z]+)$/i.exec(text)
  const unit = unitSeconds.get((match?.[2] ?? "").toLowerCase())
  if (match === null || unit === undefined) return undefined
  const seconds = Number(match[1]) * unit
  return seconds > 0 && seconds <= durationSecondsMax ? seconds : undefined
}

/** Seconds in the largest unit that holds them exactly. */
export const printDuration = (seconds: number): string => {
  for (const [unit, length] of [["d", 86_400] as const, ["h", 3600] as const, ["m", 60] as const])
    if (seconds % length === 0) return `${seconds / length}${unit}`
  return `${seconds}s`
}

const isoForm = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?([Zz]|[+-]\d\d(?::?\d\d)?)?)?$/
const isoMsEnd = Date.UTC(10_000, 0)
const durationSecondsMax = 100 * 365 * 86_400

const unitSeconds: ReadonlyMap<string, number> = new Map([
  ...["s", "sec", "secs", "second", "seconds"].map((unit) => [unit, 1] as const),
  ...["m", "min", "mins", "minute", "minutes"].map((unit) => [unit, 60] as const),
  ...["h", "hr", "hrs", "hour", "hours"].map((unit) => [unit, 3600] as const),
  ...["d", "day", "days"].map((unit) => [unit, 86_400] as const),
])

/** Parsers let the 30th of February run over into March; the way back does not. */
const isDate = (date: string): boolean => {
  const ms = Date.parse(`${date}T00:00:00Z`)
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date)
}

const zoneOffsetMs = (zone: string): number | undefined => {
  if (zone === "" || zone.toLowerCase() === "z") return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(3).replace(":", ""))
  if (hours > 14 || minutes > 59) return undefined
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes) * 60_000
}
