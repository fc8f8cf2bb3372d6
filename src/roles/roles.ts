/**
 * The list of classes, and which class the seed's names have. A new class is a file beside these and a line here.
 */
import type { WizardClass } from "../protocol/roster.ts"
import { implementation } from "./implementation.ts"
import { local } from "./local.ts"
import { monitor } from "./monitor.ts"
import { researcher } from "./researcher.ts"
import type { Role } from "./role.ts"
import { tempo } from "./tempo.ts"
import { worker } from "./worker.ts"

export const roles = { tempo, local, implementation, worker, researcher, monitor } as const satisfies Record<
  WizardClass,
  Role
>

/** The class of a name that the seed knows, in any case; undefined for others, which must be given one. */
export const classOfName = (name: string): WizardClass | undefined => seedNames.get(name.toLowerCase())

const seedNames: ReadonlyMap<string, WizardClass> = new Map([
  ["allegro", "tempo"],
  ["timmy", "local"],
  ["ezra", "implementation"],
  ["bezalel", "implementation"],
  ["claude", "worker"],
  ["kimi", "worker"],
  ["grok", "worker"],
  ["gemini", "worker"],
  ["groq", "worker"],
  ["perplexity", "researcher"],
  ["google", "researcher"],
  ["manus", "researcher"],
])
