import type { Role } from "./role.ts"

/** Runs on the person's own machine. The seed's: timmy. */
export const local: Role = {
  description: "local sovereign AI",
  channels: ["council-general"],
  triages: false,
}
