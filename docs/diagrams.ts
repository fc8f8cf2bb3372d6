/**
 * Draws every statechart of `machines/machines.ts` into `docs/diagrams/<name>.md` (Mermaid). Nothing in that folder is
 * written by hand.
 *
 *   node docs/diagrams.ts           writes the files
 *   node docs/diagrams.ts --check   exits 1 and names those that are not what the machines say
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from "xstate"
import { machines } from "../machines/machines.ts"

const folder = join(import.meta.dirname, "diagrams")

/** File name to its text, for every machine. */
export const diagrams = (): ReadonlyMap<string, string> =>
  new Map(Object.entries<AnyStateMachine>(machines).map(([name, machine]) => [`${name}.md`, diagramOf(name, machine)]))

/** The files that are not what the machines say: missing, changed, or of a machine that is no more. */
export const stale = (): readonly string[] => {
  const wanted = diagrams()
  const held = new Set(filesIn(folder))
  const changed = [...wanted].filter(
    ([file, text]) => !held.has(file) || readFileSync(join(folder, file), "utf8") !== text,
  )
  return [...changed.map(([file]) => file), ...[...held].filter((file) => !wanted.has(file))]
}

const filesIn = (path: string): readonly string[] => {
  mkdirSync(path, { recursive: true })
  return readdirSync(path)
}

const diagramOf = (name: string, machine: AnyStateMachine): string => {
  const { root } = machine
  const lines = [
    `# ${name}`,
    "",
    `Made from \`machines/${name}.ts\` by \`npm run diagrams\`; do not edit.`,
    "",
    "```mermaid",
    "stateDiagram-v2",
    ...inside(root, 1),
    "```",
    "",
  ]
  const told = (each: AnyTransitionDefinition): string =>
    [labelOf(each), ...targetsOf(each).map(({ key }) => `\`${key}\``)].join(" → ")
  const anywhere = transitionsOf(root).map((each) => `- ${told(each)}`)
  const staying = nodesUnder(root).flatMap((node) =>
    transitionsOf(node)
      .filter((each) => targetsOf(each).every((target) => isUnder(node, target)))
      .map((each) => `- \`${node.key}\`: ${told(each)}`),
  )
  if (anywhere.length > 0) lines.push("In any state that does not name it itself:", "", ...anywhere, "")
  if (staying.length > 0) lines.push("Without leaving the state:", "", ...staying, "")
  return lines.join("\n")
}

/** What stands between the braces of a state: its children, how it begins, and where they lead. */
const inside = (node: AnyStateNode, depth: number): readonly string[] => {
  const pad = "  ".repeat(depth)
  const lines: string[] = []
  const initial = node.initial?.target[0]
  if (initial !== undefined) lines.push(`${pad}[*] --> ${idOf(initial)}`)
  for (const child of childrenOf(node)) {
    if (childrenOf(child).length === 0) lines.push(`${pad}state "${child.key}" as ${idOf(child)}`)
    else lines.push(`${pad}state "${child.key}" as ${idOf(child)} {`, ...inside(child, depth + 1), `${pad}}`)
  }
  for (const child of childrenOf(node)) {
    for (const each of transitionsOf(child))
      for (const to of targetsOf(each).filter((target) => !isUnder(child, target)))
        lines.push(`${pad}${idOf(child)} --> ${idOf(to)}: ${labelOf(each)}`)
    if (child.type === "final") lines.push(`${pad}${idOf(child)} --> [*]`)
  }
  return lines
}

const childrenOf = (node: AnyStateNode): readonly AnyStateNode[] => Object.values<AnyStateNode>(node.states)

const nodesUnder = (node: AnyStateNode): readonly AnyStateNode[] =>
  childrenOf(node).flatMap((child) => [child, ...nodesUnder(child)])

const transitionsOf = (node: AnyStateNode): readonly AnyTransitionDefinition[] => [
  ...[...node.transitions.values()].flat(),
  ...(node.always ?? []),
]

/** Mermaid cannot draw a line from a state to one inside it; these are listed below. */
const isUnder = (node: AnyStateNode, target: AnyStateNode): boolean =>
  target !== node && node.path.every((part, index) => target.path[index] === part)

const targetsOf = (transition: AnyTransitionDefinition): readonly AnyStateNode[] => transition.target ?? []

/** Mermaid's ids hold no hyphens. */
const idOf = (node: AnyStateNode): string => node.path.join("__").replaceAll("-", "_")

/** `event [guard] / actions` */
const labelOf = ({ eventType, guard, actions }: AnyTransitionDefinition): string => {
  const named = actions.map(nameOf).join(", ")
  const event = eventType === "" ? "at once" : eventType === "*" ? "anything else" : eventType
  return `${event}${guard === undefined ? "" : ` [${nameOf(guard)}]`}${named === "" ? "" : ` / ${named}`}`
}

const nameOf = (part: unknown): string => {
  if (typeof part === "string") return part
  if (typeof part === "function")
    return "type" in part ? String(part.type).replace("xstate.", "") : part.name || "inline"
  return String((part as { type?: unknown }).type ?? "inline")
}

const main = (): void => {
  if (process.argv.includes("--check")) {
    const files = stale()
    if (files.length === 0) return
    process.stderr.write(`stale: ${files.join(", ")}; run: npm run diagrams\n`)
    process.exitCode = 1
    return
  }
  filesIn(folder)
  for (const [file, text] of diagrams()) writeFileSync(join(folder, file), text)
}

if (import.meta.main) main()
