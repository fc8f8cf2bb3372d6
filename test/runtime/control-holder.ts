/** A process that serves the control socket it is given, says so, and stays until it is killed. */
import { serveControl } from "../../src/runtime/control.ts"

const nothing = (): null => null
await serveControl(
  process.argv[2] ?? "",
  { ping: nothing, ps: nothing, claim: nothing, admit: nothing, outgoing: nothing },
  1000,
)
process.send?.("serving")
process.on("message", () => undefined)
