/** Flags that several verbs share, and what they stand for. */
import { Option } from "effect"
import { Flag } from "effect/cli"
import { relayUrlOf } from "../protocol/relay-list.ts"
import { readConfig } from "../runtime/config.ts"
import { homeOf, type Home } from "../runtime/home.ts"
import { exit } from "./exit.ts"

export const homeFlag = Flag.String("home").pipe(
  Flag.withDescription("the runtime's folder (also RUNTIME_HOME); nothing outside it is touched"),
  Flag.optional,
)

export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("one JSON document (or line) instead of text"),
  Flag.withDefault(false),
)

export const homeFrom = (given: Option.Option<string>): Home => homeOf(Option.getOrUndefined(given))

/** `--port` and its kin: a number that a port can be, 0 for any free one. */
export const portFlag = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withDescription(description),
    Flag.filter(
      (port) => port >= 0 && port <= 65_535,
      () => "a number from 0 (any free one) to 65535",
    ),
  )

/** The address of a relay, as it is compared and stored. Throws with exit code 2. */
export const relayUrl = (given: string): string => {
  const url = relayUrlOf(given)
  if (url === undefined) throw exit("usage", `"${given}" is no relay's address: it begins with ws:// or wss://`)
  return url
}

export const configOf = (home: Home) => readConfig(home.config)
