/** Commands that a person wrote while there was no relay: one signed event a file, removed when a relay took it. */
import { readdirSync, readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Limits } from "../limits.ts"
import { parseEvent, type NostrEvent } from "../protocol/event.ts"
import type { ClockShape } from "../services/clock.ts"
import type { Home } from "./home.ts"
import type { WizardHost } from "./wizard.ts"

/** `nudge` looks at once; else every now and then. */
export const openOutgoing = (options: {
  readonly home: Home
  readonly clock: ClockShape
  readonly limits: Pick<Limits, "outgoingSeconds">
  readonly warn: (message: string) => void
  readonly wizards: readonly WizardHost[]
}): { readonly nudge: () => void; readonly close: () => void } => {
  const { home, clock, limits, warn, wizards } = options
  let busy = false
  let again = false
  let closed = false
  let cancel = (): void => {}
  const sweep = async (): Promise<void> => {
    again = true
    if (busy || closed) return
    busy = true
    cancel()
    while (again && !closed) {
      again = false
      await send().catch((error: unknown) => warn(`${home.outgoing} was not sent: ${(error as Error).message}`))
    }
    busy = false
    if (!closed) cancel = clock.after(limits.outgoingSeconds * 1000, () => void sweep(), { unref: true })
  }
  const send = async (): Promise<void> => {
    for (const name of readdirSync(home.outgoing)
      .filter((file) => file.endsWith(".json"))
      .sort()) {
      const file = join(home.outgoing, name)
      const event = readOutgoing(file)
      if (event === undefined) {
        renameSync(file, `${file}.unreadable`)
        warn(`${file} holds no event; it was set aside as ${name}.unreadable`)
      } else if ((await Promise.all(wizards.map((wizard) => wizard.send(event)))).includes(true))
        rmSync(file, { force: true })
    }
  }
  return {
    nudge: () => void sweep(),
    close: () => {
      closed = true
      cancel()
    },
  }
}

const readOutgoing = (file: string): NostrEvent | undefined => {
  try {
    return parseEvent(JSON.parse(readFileSync(file, "utf8")))
  } catch {
    return undefined
  }
}
