/** Negentropy (NIP-77) as a client: what the relay has that we lack, and what we have that it lacks. */
import type { Filter } from "nostr-tools/filter"
import { nip77 } from "nostr-tools"
import type { NostrEvent } from "../../src/protocol/event.ts"
import { Failed, show } from "./check.ts"
import type { Connection } from "./connection.ts"

export interface Difference {
  /** Ids that the relay has and we lack. */
  readonly need: readonly string[]
  /** Ids that we have and the relay lacks. */
  readonly have: readonly string[]
  /** The reason of NEG-ERR; then nothing is known. */
  readonly refused?: string
  /** Messages of the relay. */
  readonly rounds: number
}

export const reconcile = async (
  client: Connection,
  filter: Filter,
  ours: readonly NostrEvent[],
  id = "neg",
): Promise<Difference> => {
  const negentropy = negentropyOf(ours)
  const [need, have] = [new Set<string>(), new Set<string>()]
  let from = client.received.length
  client.send("NEG-OPEN", id, filter, negentropy.initiate())
  for (let rounds = 1; rounds <= roundsMax; rounds++) {
    const answer = await client.until(
      "NEG-MSG or NEG-ERR",
      (m) => (m[0] === "NEG-MSG" || m[0] === "NEG-ERR") && m[1] === id,
      from,
    )
    from = client.received.indexOf(answer) + 1
    if (answer[0] === "NEG-ERR") return { need: [], have: [], refused: String(answer[2]), rounds }
    const next = reconciled(negentropy, answer[2], have, need)
    if (next === null) {
      client.send("NEG-CLOSE", id)
      return { need: [...need], have: [...have], rounds }
    }
    client.send("NEG-MSG", id, next)
  }
  throw new Failed(`expected the reconciliation's end within ${roundsMax} rounds; came none`)
}

export const negentropyOf = (events: readonly NostrEvent[]): nip77.Negentropy => {
  const storage = new nip77.NegentropyStorageVector()
  for (const { created_at, id } of events) storage.insert(created_at, id)
  storage.seal()
  return new nip77.Negentropy(storage)
}

const roundsMax = 20

const reconciled = (
  negentropy: nip77.Negentropy,
  message: unknown,
  have: Set<string>,
  need: Set<string>,
): string | null => {
  try {
    return negentropy.reconcile(
      String(message),
      (id) => have.add(id),
      (id) => need.add(id),
    )
  } catch (error) {
    throw new Failed(`expected a negentropy message; came ${show(message)} (${String(error)})`)
  }
}
