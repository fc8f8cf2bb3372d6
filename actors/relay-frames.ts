/** What a relay says to its client (NIP-01, 42, 67, 77), from text to a frame. Owns no state; what is no frame is undefined. */

export { refusalOf, type Refusal } from "../src/protocol/refusal.ts"

export type Frame =
  | { readonly type: "EVENT"; readonly request: string; readonly event: unknown }
  | { readonly type: "EOSE"; readonly request: string; readonly hints: readonly unknown[] }
  | { readonly type: "CLOSED"; readonly request: string; readonly message: string }
  | { readonly type: "OK"; readonly id: string; readonly accepted: boolean; readonly message: string }
  | { readonly type: "AUTH"; readonly challenge: string }
  | { readonly type: "NOTICE"; readonly message: string }
  | { readonly type: "NEG-MSG"; readonly request: string; readonly message: unknown }
  | { readonly type: "NEG-ERR"; readonly request: string; readonly message: string }

export const readFrame = (text: string): Frame | undefined => {
  const frame = parse(text)
  if (!Array.isArray(frame)) return undefined
  const [type, first, second, third] = frame as unknown[]
  if (typeof first !== "string") return undefined
  if (type === "EVENT") return { type, request: first, event: second }
  if (type === "EOSE") return { type, request: first, hints: Array.isArray(second) ? second : [second] }
  if (type === "CLOSED") return { type, request: first, message: textOf(second) }
  if (type === "OK") return { type, id: first, accepted: second === true, message: textOf(third) }
  if (type === "AUTH") return { type, challenge: first }
  if (type === "NOTICE") return { type, message: first }
  if (type === "NEG-MSG") return { type, request: first, message: second }
  if (type === "NEG-ERR") return { type, request: first, message: textOf(second) }
  return undefined
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "")

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    // Whatever bytes arrive (P24): they are counted by the caller, and nothing else.
    return undefined
  }
}
