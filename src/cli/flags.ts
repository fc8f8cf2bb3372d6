/** Flags that several verbs share, and what they stand for. */
import { Option } from "effect"
import { Flag } from "effect/cli"
import { readConfig } from "../runtime/config.ts"
import { homeOf, type Home } from "../runtime/home.ts"

export const homeFlag = Flag.String("home").pipe(
  Flag.withDescription("the runtime's folder (also RUNTIME_HOME); nothing outside it is touched"),
  Flag.optional,
)

export const jsonFlag = Flag.Boolean("json").pipe(
  Flag.withDescription("one JSON document (or line) instead of text"),
  Flag.withDefault(false),
)

export const homeFrom = (given: Option.Option<string>): Home => homeOf(Option.getOrUndefined(given))

export const configOf = (home: Home) => readConfig(home.config)
