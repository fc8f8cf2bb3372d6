/** The agent program of the tests, and how it is run: it may read this project, for its packages. */
import { dirname, join } from "node:path"

export const agentSettings = {
  command: [process.execPath, join(import.meta.dirname, "programs", "agent.ts")],
  readable: [join(import.meta.dirname, "../.."), dirname(process.execPath)],
}
