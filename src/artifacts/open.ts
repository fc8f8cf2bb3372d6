/** Shows a file to the person at this machine, by what their desktop opens such files with. */
import { Effect } from "effect"
import { execa } from "execa"

/** Whether there was something to open it with. */
export const openFile = (path: string): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    const opener = process.platform === "darwin" ? "open" : "xdg-open"
    const { failed } = await execa(opener, [path], { reject: false, stdio: "ignore", timeout: openMsMax })
    return !failed
  })

const openMsMax = 10_000
