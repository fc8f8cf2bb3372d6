/**
 * The file of `runtime relay serve --config FILE`: what its owner sets once. A name that is not known is an error, not a
 * wish unheard.
 */
import { readFileSync } from "node:fs"
import { Schema } from "effect"
import { parsePublicKey } from "../identity/keys.ts"
import { limits, type Limits } from "../limits.ts"
import { accessModes } from "./access.ts"
import type { RelayRules } from "./rules.ts"

export class RelayConfigFault extends Schema.TaggedError<RelayConfigFault>()("RelayConfigFault", {
  file: Schema.String,
  reason: Schema.String,
}) {
  override get message(): string {
    return `${this.file}: ${this.reason}`
  }
}

export interface RelayConfig {
  readonly urls: readonly string[]
  readonly council: string | undefined
  readonly rules: Partial<RelayRules>
  readonly limits: Limits
}

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const KindNumber = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))
const Mode = Schema.Literals(accessModes)
/** The relay's own limits and those that it shares; `relay` is left out of their names. */
const limitNames = Object.keys(limits).filter(
  (name) => name.startsWith("relay") || ["eventBytesMax", "frameBytesMax", "futureSecondsMax"].includes(name),
) as readonly (keyof Limits)[]

const File = Schema.Struct({
  /** The addresses by which others reach this relay. */
  urls: Schema.optionalKey(Schema.Array(Schema.String.check(Schema.isPattern(/^wss?:\/\/\S+$/)))),
  council: Schema.optionalKey(Schema.String),
  write: Schema.optionalKey(Mode),
  read: Schema.optionalKey(Mode),
  /** Public keys, npub or hex, that are admitted beside the members. */
  allowed: Schema.optionalKey(Schema.Array(Schema.String)),
  kinds: Schema.optionalKey(Schema.Array(KindNumber)),
  kindsRefused: Schema.optionalKey(Schema.Array(KindNumber)),
  ageSecondsMax: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(limits.relayAgeSecondsMin))),
  powBitsMin: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 64 }))),
  /** Whether the limits by the minute count; they do on a relay that others reach. */
  rated: Schema.optionalKey(Schema.Boolean),
  name: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String),
  icon: Schema.optionalKey(Schema.String),
  contact: Schema.optionalKey(Schema.String),
  limits: Schema.optionalKey(
    Schema.Struct(
      Object.fromEntries(limitNames.map((name) => [name, Schema.optionalKey(Count)])) as Record<
        string,
        Schema.optionalKey<typeof Count>
      >,
    ),
  ),
})

/** Throws RelayConfigFault, which names the place in the file. */
export const readRelayConfig = (file: string): RelayConfig => {
  const fault = (reason: string): RelayConfigFault => new RelayConfigFault({ file, reason })
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, "utf8"))
  } catch (error) {
    throw fault(`${error instanceof SyntaxError ? "is not JSON" : "cannot be read"} (${(error as Error).message})`)
  }
  const { limits: given } = Object(json) as { readonly limits?: unknown }
  const stray = strayIn(json, Object.keys(File.fields)) ?? strayIn(given, limitNames)
  if (stray !== undefined) throw fault(stray)
  try {
    return configOf(Schema.decodeUnknownSync(File)(json, { onExcessProperty: "error" }))
  } catch (error) {
    throw fault((error as Error).message.replaceAll(/\s+/g, " "))
  }
}

const configOf = (file: typeof File.Type): RelayConfig => {
  const { urls = [], council, allowed, rated, name, description, icon, contact, limits: given, ...rest } = file
  const about = present({ name, description, icon, contact })
  return {
    urls,
    council: council === undefined ? undefined : keyIn("council")(council),
    rules: {
      ...rest,
      ...(allowed !== undefined && { allowed: allowed.map(keyIn("allowed")) }),
      ...(rated !== undefined && { isRated: rated }),
      ...(Object.keys(about).length > 0 && { about: about as unknown as RelayRules["about"] }),
    },
    limits: { ...limits, ...given },
  }
}

/** What was given is not repeated: it may be a secret by mistake. */
const keyIn =
  (setting: string) =>
  (text: string): string => {
    try {
      return parsePublicKey(text)
    } catch (error) {
      throw new Error(`"${setting}": ${(error as Error).message}`, { cause: error })
    }
  }

const present = (values: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

const strayIn = (value: unknown, known: readonly string[]): string | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  const stray = Object.keys(value).find((name) => !known.includes(name))
  return stray === undefined ? undefined : `"${stray}" is no setting here; known are ${known.join(", ")}`
}
