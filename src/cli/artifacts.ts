/** `runtime artifacts list|show|open|verify`: what came of commands, and whether it still is what was reported. */
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Description } from "../artifacts/describe.ts"
import { contentAt, examine } from "../artifacts/examine.ts"
import { openFile } from "../artifacts/open.ts"
import type { Home } from "../runtime/home.ts"
import type { CommandRow } from "../store/store.ts"
import { exit, print, say } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { readStore } from "./known.ts"

interface Reported extends Description {
  readonly branch: string
  readonly repo: string
}

interface Result {
  readonly text: string
  readonly artifact?: Reported
  readonly cost?: Readonly<Record<string, number>>
  readonly tookMs?: number
}

const idArgument = Argument.String("id").pipe(Argument.withDescription("of the command; its first 8 digits are enough"))
const wizardFlag = Flag.String("wizard").pipe(Flag.withDescription("whose, where several were asked"), Flag.optional)

const list = Command.make(
  "list",
  {
    home: homeFlag,
    most: Flag.Int("most").pipe(Flag.withDescription("how many at the most (default 50)"), Flag.withDefault(50)),
    json: jsonFlag,
  },
  ({ home, most, json }) =>
    Effect.sync(() => {
      if (most < 1) throw exit("usage", "--most takes a number from 1 on")
      const rows = readStore(homeFrom(home), (store) => store.command.list(most, "artifact-reported"))
      const found = rows.flatMap((row) => {
        const { artifact } = resultOf(row)
        return artifact === undefined ? [] : [{ row, artifact }]
      })
      if (json)
        return print(
          JSON.stringify(found.map(({ row, artifact }) => ({ id: row.id, wizard: row.wizard, ...artifact }))),
        )
      for (const { row, artifact } of found) {
        const what = artifact.files.length === 1 ? (artifact.files[0]?.path ?? "") : `${artifact.files.length} files`
        print(
          `${row.id.slice(0, 8)}  ${row.wizard.padEnd(12)} ${artifact.commit.slice(0, 12)}  ${String(artifact.size).padStart(8)} bytes  ${what}`,
        )
      }
      if (found.length === 0) print("none")
    }),
).pipe(Command.withDescription("what came of the commands of this home, newest first"))

const show = Command.make(
  "show",
  {
    id: idArgument,
    file: Argument.String("file").pipe(Argument.withDescription("print this file of it"), Argument.optional),
    wizard: wizardFlag,
    home: homeFlag,
    json: jsonFlag,
  },
  ({ id, file, wizard, home: given, json }) =>
    Effect.gen(function* () {
      const home = homeFrom(given)
      const { row, artifact, result } = find(home, id, wizard)
      if (Option.isSome(file)) {
        if (!artifact.files.some(({ path }) => path === file.value))
          throw exit(
            "notFound",
            `${file.value} is none of its files: ${artifact.files.map(({ path }) => path).join(", ")}`,
          )
        return print(yield* contentAt(home.artifacts(row.wizard), artifact.commit, file.value))
      }
      if (json) return print(JSON.stringify({ id: row.id, wizard: row.wizard, ...result }))
      print(`${row.id}  @${row.wizard}  ${row.body.split("\n")[0] ?? ""}`)
      print(result.text)
      print(`commit ${artifact.commit} on ${artifact.branch} of ${artifact.repo}`)
      for (const { path, bytes, sha256 } of artifact.files) print(`${sha256}  ${path}  (${bytes} bytes)`)
      const figures = Object.entries(result.cost ?? {}).map(([name, value]) => `${name} ${Number(value.toFixed(3))}`)
      if (figures.length > 0) print(figures.join(", "))
    }),
).pipe(Command.withDescription("the result's own words, its commit, its files"))

const open = Command.make(
  "open",
  { id: idArgument, wizard: wizardFlag, home: homeFlag },
  ({ id, wizard, home: given }) =>
    Effect.gen(function* () {
      const home = homeFrom(given)
      const { row, artifact } = find(home, id, wizard)
      const dir = home.artifacts(row.wizard)
      const [only] = artifact.files
      const path = only !== undefined && artifact.files.length === 1 ? join(dir, only.path) : dir
      if (!existsSync(path))
        throw exit("notFound", `${path} is not there: artifacts show ${id} reads it from its commit`)
      print(path)
      // Without a terminal nobody is there to look.
      if (process.stdout.isTTY && !(yield* openFile(path))) say("there is nothing here to open it with")
    }),
).pipe(Command.withDescription("show it: its file, or the folder where there are several"))

const verify = Command.make(
  "verify",
  { id: idArgument, wizard: wizardFlag, home: homeFlag },
  ({ id, wizard, home: given }) =>
    Effect.gen(function* () {
      const home = homeFrom(given)
      const { row, artifact } = find(home, id, wizard)
      const wrong = yield* examine(home.artifacts(row.wizard), { command: row.id, wizard: row.wizard }, artifact)
      if (wrong !== undefined) throw exit("failed", `${row.id.slice(0, 8)} at ${row.wizard}: ${wrong}`)
      print(
        `${row.id.slice(0, 8)}  ${row.wizard}  ${artifact.files.length} files are what was reported (${artifact.x})`,
      )
    }),
).pipe(Command.withDescription("hold what was reported against the repository; exit code 1 where it does not fit"))

export const artifacts = Command.make("artifacts").pipe(
  Command.withDescription("what came of commands"),
  Command.withSubcommands([list, show, open, verify]),
)

const resultOf = ({ result }: CommandRow): Result => (result === null ? { text: "" } : (JSON.parse(result) as Result))

/** The one artifact that is meant. Throws with the exit code that tells why there is none. */
const find = (home: Home, id: string, wizard: Option.Option<string>) => {
  if (!/^[0-9a-f]{8,64}$/i.test(id)) throw exit("usage", `"${id}" is no id: at least its first 8 hex digits`)
  const rows = readStore(home, (store) => store.command.byId(id.toLowerCase())).filter(
    (row) => Option.isNone(wizard) || row.wizard === wizard.value,
  )
  if (rows.length === 0) throw exit("notFound", `no command begins with ${id}`)
  const found = rows.flatMap((row) => {
    const result = resultOf(row)
    return result.artifact === undefined ? [] : [{ row, result, artifact: result.artifact }]
  })
  const [one, ...more] = found
  if (one === undefined) throw exit("notFound", `${id} has no artifact (it is ${rows[0]?.state})`)
  if (more.length > 0)
    throw exit(
      "usage",
      `${id} has several: add --wizard ${found.map(({ row }) => row.wizard).join("|")}, or more digits`,
    )
  return one
}
