/**
 * The message of a result's commit: a subject, the result's own words, and the trailers that tie it to its command.
 *
 *   note: what was asked
 *
 *   The result's own words.
 *
 *   Command-Id: 64 hex
 *   Trace-Id: 64 hex
 *   Wizard: timmy
 *   Attempt: 1
 *
 * T1: the trailers are the last paragraph and each is there once, so nothing that the words contain can pose as one.
 */
import { Effect } from "effect"
import { limits } from "../limits.ts"
import type { AttemptNames } from "./clone.ts"
import { git } from "./git.ts"
import type { GitFault } from "./repository.ts"

/** What a commit says of itself. A value is undefined where its trailer is missing or there twice. */
export interface Stated {
  readonly command: string | undefined
  readonly wizard: string | undefined
  readonly attempt: string | undefined
}

/** The whole message. `subject` is cut to one line, `text` to `charsMax`, as a final answer is. */
export const commitMessage = (
  subject: string,
  text: string,
  names: AttemptNames,
  charsMax: number = limits.answerCharsMax,
): string => {
  const trailers = [
    `Command-Id: ${names.command}`,
    `Trace-Id: ${names.trace}`,
    `Wizard: ${names.wizard}`,
    `Attempt: ${names.attempt}`,
  ]
  const line = plain(subject).replaceAll(/\s+/g, " ").trim().slice(0, subjectCharsMax).trim()
  const words = plain(text).trim().slice(0, charsMax).trim()
  return [line === "" ? "result" : line, words, trailers.join("\n")].filter((part) => part !== "").join("\n\n") + "\n"
}

/** Reads the trailers of a commit. */
export const readTrailers = (dir: string, commit: string): Effect.Effect<Stated, GitFault> =>
  git(dir, ["log", "-1", "--format=%(trailers:only,unfold)", commit]).pipe(
    Effect.map((text) => {
      const lines = text.split("\n").map((line) => /^([^:\s]+)\s*:\s*(.*)$/.exec(line))
      const only = (name: string): string | undefined => {
        const values = lines.filter((line) => line?.[1]?.toLowerCase() === name)
        return values.length === 1 ? values[0]?.[2] : undefined
      }
      return { command: only("command-id"), wizard: only("wizard"), attempt: only("attempt") }
    }),
  )

/** The result's own words, as the commit keeps them; the subject where there are none. */
export const readText = (dir: string, commit: string): Effect.Effect<string, GitFault> =>
  git(dir, ["log", "-1", "--format=%B", commit]).pipe(
    Effect.map((message) => {
      const [subject = "", ...rest] = message.trim().split("\n\n")
      const words = rest.slice(0, -1).join("\n\n").trim()
      return words === "" ? subject : words
    }),
  )

const subjectCharsMax = 72

/** Git refuses NUL in a message, and other control characters would confuse a terminal. */
const plain = (text: string): string => text.toWellFormed().replaceAll(/[^\P{Cc}\n\t]/gu, "")
