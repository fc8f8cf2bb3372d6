import type { Role } from "./role.ts"

/** The seed's: perplexity, google, manus. */
export const researcher: Role = {
  description: "intelligence gathering, reports, analysis",
  channels: ["council-general", "researchers"],
  triages: false,
}
