/** A process that takes the home it is given, says what came of it, and stays. */
import { systemClock } from "../../src/services/clock.ts"
import { takeLock } from "../../src/store/lock.ts"

try {
  takeLock(process.argv[2] ?? "", systemClock)
  process.send?.("held")
} catch (error) {
  process.send?.((error as Error).message)
}
process.on("message", () => undefined)
