/**
 * Writes the task down, one Markdown file for each command, and says plainly that this is all it does: no model is
 * attached. The file depends on the command alone, so writing it again writes the same.
 */
import { mkdir, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { npubEncode } from "nostr-tools/nip19"
import { ExecutorFailed, type Executor, type Task } from "./executor.ts"
import { dateOf } from "./report.ts"
import { toldOf } from "./told.ts"

export const note: Executor = {
  name: "note",
  about: "note; no model attached",
  repeat: "safe",
  needsClone: true,
  probe: () => Effect.succeed({ ready: true, detail: "records tasks; no model is attached" }),
  run: Effect.fnUntraced(function* (task, report) {
    const { folder } = task
    if (folder === undefined) return yield* new ExecutorFailed({ kind: "final", reason: "note: no folder to write in" })
    report({ text: "writing the task down" })
    const path = yield* Effect.tryPromise({
      try: (signal) => write(folder, task, signal),
      catch: (error) => new ExecutorFailed({ kind: "retryable", reason: `note: cannot write (${toldOf(error)})` }),
    })
    return { text: `Recorded in ${path} by the note executor; no model is attached, so nothing else was done.` }
  }),
}

const write = async (folder: string, task: Task, signal: AbortSignal): Promise<string> => {
  await mkdir(join(folder, "commands"), { recursive: true })
  const date = dateOf(task.createdAt)
  const short = `commands/${date.slice(0, 10)}-${task.command.slice(0, 8)}.md`
  // Two commands of one day may begin alike.
  const taken = await stat(join(folder, short)).catch(() => undefined)
  const path = taken === undefined ? short : `commands/${date.slice(0, 10)}-${task.command}.md`
  await writeFile(join(folder, path), contentOf(task, date), { signal })
  return path
}

const contentOf = (task: Task, date: string): string => {
  const facts = [
    `- asked by ${npubEncode(task.author)}`,
    `- asked at ${date}`,
    `- priority ${task.priority}`,
    ...(task.deadlineMs === undefined ? [] : [`- deadline ${dateOf(task.deadlineMs / 1000)}`]),
    `- command ${task.command}, trace ${task.trace}`,
    `- wizard ${task.wizard}, attempt ${task.attempt}`,
  ]
  const words = task.body.toWellFormed().split(/\r\n|\r|\n/)
  const quoted = words.map((line) => (line === "" ? ">" : `> ${line}`))
  const honest = "Recorded by the note executor; no model is attached."
  return [`# Task for ${task.wizard}`, facts.join("\n"), quoted.join("\n"), honest].join("\n\n") + "\n"
}
