/**
 * What every wizard knows without an executor, from the command line: `runtime cancel 1a2b3c4d`, `runtime pause timmy`,
 * `runtime stop --all-work`. Each is a signed event by the operator, sent and followed as `runtime dispatch` does it.
 */
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { parseVerb, verbs, type VerbName } from "../protocol/verbs.ts"
import { send } from "./dispatch.ts"
import { exit } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { readStore } from "./known.ts"

const sending = {
  home: homeFlag,
  key: Flag.String("key").pipe(Flag.withDescription("the file of the operator's secret key"), Flag.optional),
  relay: Flag.String("relay").pipe(Flag.withDescription("send over this relay; repeatable"), Flag.atLeast(0)),
  timeout: Flag.String("timeout").pipe(
    Flag.withDescription("how long to wait for the answer, as 90s or 5m (default 1m)"),
    Flag.withDefault("1m"),
  ),
  json: jsonFlag,
}

interface Sending {
  readonly home: Option.Option<string>
  readonly key: Option.Option<string>
  readonly relay: readonly string[]
  readonly timeout: string
  readonly json: boolean
}

/** Sends the verb to these wizards and waits for their answers. */
const tell = (names: readonly string[], body: string, asked: Sending): Promise<void> => {
  if (parseVerb(body) === undefined) throw exit("usage", `"${body}" is not understood: ${usageOf(body)}`)
  return send({
    text: `${names.map((name) => `@${name}`).join(" ")} ${body}`,
    home: homeFrom(asked.home),
    priority: "normal",
    deadline: undefined,
    key: Option.getOrUndefined(asked.key),
    relay: asked.relay,
    wait: true,
    timeout: asked.timeout,
    json: asked.json,
  })
}

const usageOf = (body: string): string =>
  Object.entries(verbs).find(([name]) => body.startsWith(name))?.[1].usage ?? "runtime --help lists what is"

/** About one command; whose it is, the home knows. */
const aboutCommand = (name: "why" | "show" | "cancel" | "retry" | "approve" | "deny") =>
  Command.make(
    name,
    {
      id: Argument.String("id").pipe(Argument.withDescription("a command's id, or the first 8 digits or more")),
      rest: Argument.String("part").pipe(Argument.withDescription("of show: a page"), Argument.optional),
      wizard: Flag.String("wizard").pipe(
        Flag.withDescription("whose it is; needed where this home does not know the command"),
        Flag.optional,
      ),
      ...sending,
    },
    ({ id, rest, wizard, ...asked }) =>
      Effect.tryPromise({
        try: () => {
          const names = Option.match(wizard, {
            onSome: (given) => [given],
            onNone: () => wizardsOf(homeFrom(asked.home), id),
          })
          return tell(names, [name, id, ...Option.toArray(rest)].join(" "), asked)
        },
        catch: (error) => error,
      }),
  ).pipe(Command.withDescription(verbs[name].help))

const wizardsOf = (home: ReturnType<typeof homeFrom>, id: string): readonly string[] => {
  if (!/^[0-9a-f]{8,64}$/.test(id)) throw exit("usage", `"${id}" is no id: the first 8 hex digits or more`)
  const found = readStore(home, (store) => store.command.byId(id))
  if (found.length === 0)
    throw exit("notFound", `no command begins with ${id} in ${home.dir}: say whose it is with --wizard NAME`)
  return [...new Set(found.map(({ wizard }) => wizard))]
}

/** About wizards themselves: those that are named, or all of them. */
const aboutWizards = (name: string, verb: VerbName, all = "all") =>
  Command.make(
    name,
    {
      names: Argument.String("wizard").pipe(
        Argument.withDescription("as timmy; several may be named"),
        Argument.atLeast(0),
      ),
      all: Flag.Boolean(all).pipe(Flag.withDescription("every wizard of the roster"), Flag.withDefault(false)),
      ...sending,
    },
    ({ names, all: everyone, ...asked }) =>
      Effect.tryPromise({ try: () => tell(meant(names, everyone, all), verb, asked), catch: (error) => error }),
  ).pipe(Command.withDescription(verbs[verb].help))

const meant = (names: readonly string[], everyone: boolean, flag: string): readonly string[] => {
  if (everyone === names.length > 0) throw exit("usage", `name the wizards, or say --${flag}`)
  return everyone ? ["all"] : names.map((name) => name.replace(/^@/, ""))
}

const heartbeat = Command.make(
  "heartbeat",
  {
    wizard: Argument.String("wizard"),
    to: Argument.String("to").pipe(
      Argument.withDescription('faster, slower, default, or "every 10m"'),
      Argument.atLeast(1),
    ),
    ...sending,
  },
  ({ wizard, to, ...asked }) =>
    Effect.tryPromise({
      try: () => tell([wizard.replace(/^@/, "")], `heartbeat ${to.join(" ")}`, asked),
      catch: (error) => error,
    }),
).pipe(Command.withDescription(verbs.heartbeat.help))

/** One for each verb; `status` for `status check`. `help` is the command line's own. */
export const verbCommands = [
  aboutWizards("status", "status check"),
  aboutWizards("queue", "queue"),
  aboutCommand("why"),
  aboutCommand("show"),
  aboutCommand("cancel"),
  aboutCommand("retry"),
  aboutCommand("approve"),
  aboutCommand("deny"),
  aboutWizards("pause", "pause"),
  aboutWizards("resume", "resume"),
  aboutWizards("stop", "stop", "all-work"),
  heartbeat,
] as const
