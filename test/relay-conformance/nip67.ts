/** NIP-67: EOSE says whether that was all. "finish" must be true; its absence promises nothing. */
import { demand, type NipChecks, optional, required, show } from "./check.ts"
import type { Answer, Connection } from "./connection.ts"
import { hex32, now, person } from "./person.ts"
import { settled } from "./relay.ts"

export const nip67: NipChecks = {
  nip: 67,
  title: "EOSE hints",
  claimedBy: [67],
  checks: [
    required("finish comes where all was sent", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 5)
      expects(await client.ask({ authors: [author] }), true)
    }),
    required("finish comes where there is nothing to send", async (relay) => {
      expects(await (await relay.connect()).ask({ authors: [hex32()] }), true)
    }),
    required("finish comes where a limit is higher than what there is", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 5)
      expects(await client.ask({ authors: [author], limit: 6 }), true)
    }),
    optional("finish comes where a limit is exactly what there is", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 5)
      expects(await client.ask({ authors: [author], limit: 5 }), true)
    }),
    required("finish does not come where a limit cut the answer", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 5)
      expects(await client.ask({ authors: [author], limit: 4 }), false)
    }),
    required("finish does not come where limit 0 left stored events out", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 2)
      expects(await client.ask({ authors: [author], limit: 0 }), false)
    }),
    required("finish does not come where one of several filters was cut", async (relay) => {
      const one = await withEvents(await relay.connect(), 5)
      const two = await withEvents(await relay.connect(), 5)
      expects(await one.client.ask({ authors: [one.author] }, { authors: [two.author], limit: 2 }), false)
    }),
    optional("more comes where a limit cut the answer", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 5)
      const { eose } = await client.ask({ authors: [author], limit: 4 })
      demand(hintsOf(eose).includes("more"), '["more"]', show(eose))
    }),
    required("finish and more never come together, and the hints are a list of texts", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 3)
      for (const limit of [1, 3, 10]) {
        const { eose } = await client.ask({ authors: [author], limit })
        const hints = eose?.[2]
        const isSound = hints === undefined || (Array.isArray(hints) && hints.every((hint) => typeof hint === "string"))
        demand(isSound, "a list of texts", show(eose))
        demand(!(hintsOf(eose).includes("finish") && hintsOf(eose).includes("more")), "one of the two", show(eose))
      }
    }),
    required("who reads pages until finish has all", async (relay) => {
      const { client, author } = await withEvents(await relay.connect(), 23)
      const found = new Set<string>()
      let until: number | undefined
      for (let page = 0; page < 30; page++) {
        const answer = await client.ask({ authors: [author], limit: 5, ...(until !== undefined && { until }) })
        for (const { id } of answer.events) found.add(id)
        if (hintsOf(answer.eose).includes("finish")) break
        until = answer.events.at(-1)?.created_at
      }
      demand(found.size === 23, "23 events when finish came", String(found.size))
    }),
    required("finish does not end the subscription", async (relay) => {
      const [client, publisher] = [await relay.connect(), await relay.connect()]
      const alice = person()
      await client.open("s", { authors: [alice.pubkey] })
      await publisher.store(alice.event())
      await settled(client, publisher)
      demand(client.eventsOf("s").length === 1, "the live event", String(client.eventsOf("s").length))
    }),
  ],
}

const withEvents = async (client: Connection, count: number) => {
  const alice = person()
  await client.store(...Array.from({ length: count }, (_, n) => alice.event({ created_at: now() - 2 * n })))
  return { client, author: alice.pubkey }
}

const hintsOf = (eose: readonly unknown[] | undefined): readonly unknown[] =>
  Array.isArray(eose?.[2]) ? (eose[2] as unknown[]) : []

const expects = ({ eose, closed }: Answer, isFinish: boolean): void =>
  demand(
    closed === undefined && hintsOf(eose).includes("finish") === isFinish,
    isFinish ? 'EOSE with "finish"' : 'EOSE without "finish"',
    closed ?? show(eose),
  )
