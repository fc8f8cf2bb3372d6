/**
 * What the tests of other people's clients share: a real `runtime relay serve` on a free loopback port with a database
 * of its own, and an inbox. Nothing waits a fixed time: that an event does not come is shown by a later one that does,
 * as the relay hands on in the order that it takes.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { startCli, temporaryHome } from "../support/process.ts"

export interface ServedRelay {
  readonly url: string
  readonly stop: () => Promise<void>
}

export const serveRelay = async (): Promise<ServedRelay> => {
  const folder = temporaryHome()
  const cli = startCli(["relay", "serve", "--port", "0", "--db", join(folder, "relay.db")])
  const stop = async (): Promise<void> => {
    await cli.kill("SIGKILL")
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    return { url: (await cli.line(/^relay (ws:\S+)/))[1] as string, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export interface Inbox<T> {
  /** Everything that came, in order. */
  readonly items: readonly T[]
  readonly put: (item: T) => void
  /** The first, past or to come, that fits. */
  readonly until: (fits: (item: T) => boolean) => Promise<T>
}

export const inbox = <T>(): Inbox<T> => {
  const items: T[] = []
  const looking = new Set<(item: T) => void>()
  return {
    items,
    put: (item) => {
      items.push(item)
      for (const look of looking) look(item)
    },
    until: (fits) =>
      new Promise((found) => {
        const look = (item: T): void => {
          if (!fits(item)) return
          looking.delete(look)
          found(item)
        }
        const there = items.find(fits)
        if (there === undefined) looking.add(look)
        else found(there)
      }),
  }
}
