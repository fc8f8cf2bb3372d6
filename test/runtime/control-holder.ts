/** A process that serves the control socket it is given, says so, and stays until it is killed. */
import { serveControl, type ControlHandlers } from "../../src/runtime/control.ts"

const handlers: Pick<ControlHandlers, "ping"> = { ping: () => null }
await serveControl(process.argv[2] ?? "", handlers as ControlHandlers, 1000)
process.send?.("serving")
process.on("message", () => undefined)
