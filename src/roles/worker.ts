import type { Role } from "./role.ts"

/** The seed's: claude, kimi, grok, gemini, groq. */
export const worker: Role = {
  description: "implementation tasks, coding, building",
  channels: ["council-general", "workers"],
  triages: false,
}
