/** Dead letters of publishing, as a person names them: by effect, by the beginning of the event's id, or all. */
import type { Publisher } from "../publish/publisher.ts"
import type { StoreShape } from "../store/store.ts"
import { NotThere, StartRefused } from "./options.ts"

/** How many are written at a time. */
const pageRows = 1024

/** Does it to each that is meant; gives how many. Rejects with NotThere, StartRefused. */
export const forDeadLetters = async (
  store: StoreShape,
  which: string,
  does: Publisher["resend"],
): Promise<{ readonly count: number; readonly wizards: readonly string[] }> => {
  const meant = choose(store, which)
  for (let at = 0; at < meant.length; at += pageRows) await does(meant.slice(at, at + pageRows))
  return { count: meant.length, wizards: [...new Set(meant.map(({ owner }) => owner))] }
}

const choose = (store: StoreShape, which: string) => {
  const dead = store.outbox.deadPlaces()
  if (which === everyDeadLetter) return dead
  const named = dead.filter(({ effect }) => effect === which)
  if (named.length > 0) return named
  const isPrefix = /^[0-9a-f]{8,64}$/i.test(which)
  const found = isPrefix ? dead.filter(({ event_id }) => event_id?.startsWith(which.toLowerCase()) === true) : []
  if (found.length > 1) throw new StartRefused({ reason: `${which} begins several ids: give more digits` })
  if (found.length === 0)
    throw new NotThere({
      reason: `no dead letter is called ${which}, or has an id that begins so: runtime outbox list`,
    })
  return found
}

/** What stands for all of them; no effect and no id is called so. */
export const everyDeadLetter = "*"
