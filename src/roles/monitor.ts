import type { Role } from "./role.ts"

/** Reads and reports; the seed names none. */
export const monitor: Role = {
  description: "watches heartbeats and latencies",
  channels: ["council-general"],
  triages: false,
}
