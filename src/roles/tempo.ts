import type { Role } from "./role.ts"

/** Sets the pace: in every channel, and the one that answers where nobody is named. The seed's: allegro. */
export const tempo: Role = {
  description: "triage and routing",
  channels: ["council-general", "workers", "researchers", "tempo-urgent"],
  triages: true,
}
