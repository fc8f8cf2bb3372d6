/** The table of rooms, and the rules of what each may import, held against the code's own import statements. */
import { globSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "../..")

/** A room imports lower ranks and itself. */
const ranks: Readonly<Record<string, number>> = {
  protocol: 0,
  machines: 1,
  services: 2,
  limits: 2,
  store: 3,
  engine: 4,
  identity: 4,
  publish: 4,
  artifacts: 4,
  actors: 4,
  intake: 5,
  executors: 5,
  roles: 5,
  relay: 5,
  monitor: 5,
  report: 5,
  inspector: 5,
  runtime: 6,
  cli: 7,
  main: 8,
  launch: 9,
}

/** Where a package may appear; every other package may appear in all rooms but `machines`. */
const packages: Readonly<Record<string, RegExp>> = {
  execa: /^src\/(executors|artifacts)\//,
  ws: /^src\/(services|relay)\/socket\.ts$/,
  "better-sqlite3": /^src\/store\//,
  koffi: /^src\/identity\//,
  "nostr-wasm": /^src\/identity\//,
}

/** Files that may read a clock, set a timer or ask for chance outside `src/services`, each with its reason. */
const timeAllowed: Readonly<Record<string, string>> = {}

/** Imports that break the table, each with its reason: "from -> to". */
const allowed: Readonly<Record<string, string>> = {}

interface Import {
  readonly from: string
  readonly to: string
  readonly typeOnly: boolean
}

const statement =
  /(?:^|[;\n])\s*(import|export)\s+(type\s)?(?:([^"';]*?)\s*from\s*)?["']([^"'\n]+)["']|\bimport\(\s*["']([^"'\n]+)["']|new URL\(\s*["'](\.[^"'\n]+)["']\s*,\s*import\.meta\.url/g

/** Everything that a file names by an import, a re-export, a dynamic import, or a URL beside itself. */
export const importsOf = (file: string, text: string): readonly Import[] =>
  [...withoutComments(text).matchAll(statement)].flatMap((match): Import[] => {
    const [, , type, names, direct, dynamic, url] = match
    const to = direct ?? dynamic ?? url
    if (to === undefined) return []
    const typeOnly = type !== undefined || (names !== undefined && everyNameIsAType(names))
    return [{ from: file, to: to.startsWith(".") ? join(dirname(file), to) : to, typeOnly }]
  })

const everyNameIsAType = (names: string): boolean => {
  const listed = /^\{([\s\S]*)\}$/.exec(names.trim())?.[1]
  return listed !== undefined && listed.split(",").every((name) => name.trim() === "" || /^type\s/.test(name.trim()))
}

const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/^\s*\/\/.*$/gm, "")

const roomOf = (path: string): string | undefined => {
  const [first, second] = path.split("/")
  const name = first === "src" ? second : first
  return name?.replace(/\.(ts|mjs)$/, "")
}

const faultOf = ({ from, to, typeOnly }: Import): string | undefined => {
  if (allowed[`${from} -> ${to}`] !== undefined) return undefined
  const own = roomOf(from) ?? ""
  const rank = ranks[own]
  if (rank === undefined) return `${from}: the room ${own} has no rank`
  if (!/^(src|machines|actors)\//.test(to)) return packageFault(from, own, to)
  const other = roomOf(to) ?? ""
  const theirs = ranks[other]
  if (theirs === undefined) return `${from} imports ${to}, whose room has no rank`
  if (other === own || theirs < rank) return undefined
  // Two rooms of one rank may know each other's shapes: the shell puts the parts together.
  if (theirs === rank && typeOnly) return undefined
  return `${from} (${own}) imports ${to} (${other})`
}

const packageFault = (from: string, own: string, to: string): string | undefined => {
  const name = to.startsWith("@") ? to.split("/").slice(0, 2).join("/") : (to.split("/")[0] ?? to)
  if (own === "machines") return name === "xstate" ? undefined : `${from} imports ${to}: machines import xstate alone`
  const where = packages[name]
  return where === undefined || where.test(from) ? undefined : `${from} imports ${name}`
}

const files = globSync(["src/**/*.{ts,mjs}", "machines/**/*.ts", "actors/**/*.ts"], { cwd: root }).map((file) =>
  relative(root, join(root, file)),
)
const textOf = (file: string): string => readFileSync(join(root, file), "utf8")

describe("imports", () => {
  it("point one way", () => {
    expect(files.length).toBeGreaterThan(20)
    expect(files.flatMap((file) => importsOf(file, textOf(file)).flatMap((each) => faultOf(each) ?? []))).toEqual([])
  })

  it("time and chance come from src/services alone", () => {
    const forbidden =
      /\bDate\.now\b|\bnew Date\(\)|\bsetTimeout\b|\bsetInterval\b|\bMath\.random\b|\bperformance\.now\b/
    const found = files.filter(
      (file) =>
        !file.startsWith("src/services/") &&
        timeAllowed[file] === undefined &&
        forbidden.test(withoutComments(textOf(file))),
    )
    expect(found).toEqual([])
  })

  it("every exception is still needed", () => {
    const present = new Set(
      files.flatMap((file) => importsOf(file, textOf(file)).map(({ from, to }) => `${from} -> ${to}`)),
    )
    expect(Object.keys(allowed).filter((key) => !present.has(key))).toEqual([])
    expect(Object.keys(timeAllowed).filter((file) => !files.includes(file))).toEqual([])
  })

  it.each([
    ["machines/wizard.ts", 'import { Effect } from "effect"'],
    ["machines/wizard.ts", 'import { limits } from "../src/limits.ts"'],
    ["src/protocol/event.ts", 'import { machine } from "../../machines/wizard.ts"'],
    ["src/engine/engine.ts", 'export { sign } from "../identity/signer.ts"'],
    ["src/engine/engine.ts", 'import {\n  type Signer,\n  sign,\n} from "../identity/signer.ts"'],
    ["src/store/store.ts", 'const later = await import("../engine/engine.ts")'],
    ["src/identity/verifier.ts", 'new URL("../cli/start.ts", import.meta.url)'],
    ["src/relay/relay.ts", 'import { WebSocketServer } from "ws"'],
    ["src/cli/start.ts", 'import { execa } from "execa"'],
    ["src/engine/engine.ts", 'import SQLite from "better-sqlite3"'],
    ["src/nowhere/x.ts", 'import "effect"'],
  ])("the rules see what is wrong: %s with %s", (file, text) => {
    expect(importsOf(file, text).map(faultOf)).toEqual([expect.any(String)])
  })

  it.each([
    ["actors/relay-auth.ts", 'import type { Signer } from "../src/identity/signer.ts"'],
    ["actors/relay-auth.ts", 'import { type Signer } from "../src/identity/signer.ts"'],
    ["src/executors/note.ts", 'import { clone } from "../artifacts/clone.ts"'],
    ["machines/command.ts", 'import { status } from "../src/protocol/status.ts"'],
    ["src/relay/socket.ts", 'import { WebSocketServer } from "ws"'],
  ])("the rules allow what is right: %s with %s", (file, text) => {
    expect(importsOf(file, text).map(faultOf)).toEqual([undefined])
  })
})
