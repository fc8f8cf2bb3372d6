/**
 * `<home>/config.json`: what a person may set. A name that is not known is an error, not a wish unheard.
 */
import { existsSync, readFileSync } from "node:fs"
import { Schema } from "effect"
import { ChecksSettings } from "../executors/checks.ts"
import { limits, type Limits } from "../limits.ts"

export class ConfigFault extends Schema.TaggedError<ConfigFault>()("ConfigFault", {
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

const PositiveNumber = Schema.Finite.check(Schema.isGreaterThan(0))

/** Rows, bytes and tries come whole; only times may be fractions. */
const PositiveCount = Schema.Int.check(Schema.isGreaterThan(0))

const RoleConfig = Schema.Struct({
  class: Schema.optionalKey(Schema.String),
  executor: Schema.optionalKey(Schema.String),
  /** Its executor's own; read by that (`executors/<name>.ts`). */
  settings: Schema.optionalKey(Schema.Record(Schema.String, Schema.Unknown)),
  checks: Schema.optionalKey(ChecksSettings),
})

const Config = Schema.Struct({
  relays: Schema.optionalKey(Schema.Array(Schema.String)),
  relayPort: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
  roles: Schema.optionalKey(Schema.Record(Schema.String, RoleConfig)),
  limits: Schema.optionalKey(
    Schema.Struct(
      Object.fromEntries(
        Object.keys(limits).map((name) => [
          name,
          Schema.optionalKey(/Seconds|Ms/.test(name) ? PositiveNumber : PositiveCount),
        ]),
      ) as Record<keyof Limits, Schema.optionalKey<typeof PositiveNumber>>,
    ),
  ),
})

export type Config = typeof Config.Type

/** Throws ConfigFault, which names the place in the file. A file that is not there is an empty one. */
export const readConfig = (file: string): { readonly config: Config; readonly limits: Limits } => {
  if (!existsSync(file)) return { config: {}, limits }
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, "utf8"))
  } catch (error) {
    const reason = error instanceof SyntaxError ? "is not JSON" : "cannot be read"
    throw new ConfigFault({ file, reason: `${reason} (${(error as Error).message})` })
  }
  try {
    const config = Schema.decodeUnknownSync(Config)(json, { onExcessProperty: "error", errors: "all" })
    const given = Object.fromEntries(Object.entries(config.limits ?? {}).filter(([, value]) => value !== undefined))
    return { config, limits: { ...limits, ...given } }
  } catch (error) {
    throw new ConfigFault({ file, reason: explain(json, (error as Error).message) })
  }
}

/** The likely cause first: a name that is nearly one that is known. */
const explain = (json: unknown, message: string): string => {
  const top = ["relays", "relayPort", "roles", "limits"]
  const { limits: given, roles } = Object(json) as { readonly limits?: unknown; readonly roles?: unknown }
  const hints = [
    ...strays(json, top),
    ...strays(given, Object.keys(limits)),
    ...Object.values(Object(roles) as object).flatMap((role) => strays(role, Object.keys(RoleConfig.fields))),
  ]
  return hints.length > 0 ? hints.join("; ") : message.replaceAll(/\s+/g, " ")
}

const strays = (value: unknown, known: readonly string[]): string[] =>
  typeof value !== "object" || value === null
    ? []
    : Object.keys(value)
        .filter((name) => !known.includes(name))
        .map((name) => {
          const near = known.toSorted((a, b) => distance(name, a) - distance(name, b))[0] as string
          return `"${name}" is no setting${distance(name, near) <= 3 ? `; did you mean "${near}"?` : ` (known: ${known.slice(0, 5).join(", ")} …)`}`
        })

/** Levenshtein's distance. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min(
          (next[j - 1] as number) + 1,
          (row[j] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      )
    }
    row = next
  }
  return row[b.length] as number
}
