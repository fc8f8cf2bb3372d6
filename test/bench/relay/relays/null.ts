/** The ceiling: what the client and the sockets can do with a server that has no work. */
import { join } from "node:path"
import { freePort, run } from "../process.ts"
import type { RelayUnderTest } from "./relay-under-test.ts"

export const nullServer: RelayUnderTest = {
  name: "null",
  durability: "none: it keeps nothing and verifies nothing",
  forgets: true,
  missing: () => undefined,
  start: async (dir) => {
    const port = await freePort()
    const args = [join(import.meta.dirname, "null-server.ts"), String(port)]
    return run({ command: process.execPath, args, cwd: dir, port })
  },
}
