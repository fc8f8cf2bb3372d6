/**
 * How a verb ends: what is printed, and the exit code. Results go to stdout, messages to stderr.
 *
 * 0 ok · 1 failed · 2 usage · 3 not found · 4 not allowed · 5 relay unreachable · 6 the command ended badly ·
 * 130 interrupted
 */
import { Schema } from "effect"

export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  unreachable: 5,
  endedBadly: 6,
  interrupted: 130,
} as const

export class Exit extends Schema.TaggedError<Exit>()("Exit", {
  code: Schema.Number,
  reason: Schema.String,
}) {
  override get message(): string {
    return this.reason
  }
}

export const exit = (code: keyof typeof ExitCode, reason: string): Exit => new Exit({ code: ExitCode[code], reason })

/** A result, on stdout. */
export const print = (text: string): void => void process.stdout.write(`${shown(text)}\n`)

/** A message, on stderr. */
export const say = (text: string): void => void process.stderr.write(`${shown(text)}\n`)

/** What others wrote must not steer the terminal that shows it. */
const shown = (text: string): string => text.replaceAll(/[^\P{Cc}\n\t]/gu, "\u{fffd}")

/** The exit code that an error stands for, by what it is. */
export const codeOf = (error: unknown): number => {
  if (error instanceof Exit) return error.code
  const { _tag, tag } = Object(error) as { readonly _tag?: unknown; readonly tag?: unknown }
  // What the running process refused counts as what it was there.
  return codes[String(_tag === "ControlFault" ? tag : _tag)] ?? ExitCode.failed
}

const codes: Readonly<Record<string, number>> = {
  StartRefused: ExitCode.usage,
  ExecutorRefused: ExitCode.usage,
  NotThere: ExitCode.notFound,
  RelayUnreachable: ExitCode.unreachable,
  ConfigFault: ExitCode.usage,
  RelayConfigFault: ExitCode.usage,
  HomeUnusable: ExitCode.usage,
  KeyNameInvalid: ExitCode.usage,
  PublicKeyMalformed: ExitCode.usage,
  KeyExposed: ExitCode.notAllowed,
  RosterRefused: ExitCode.notAllowed,
  OrderRefused: ExitCode.usage,
}
