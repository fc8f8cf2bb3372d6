import type { Role } from "./role.ts"

/** Builds; may be admitted to #workers by the roster. The seed's: ezra, bezalel. */
export const implementation: Role = {
  description: "implementation",
  channels: ["council-general"],
  triages: false,
}
