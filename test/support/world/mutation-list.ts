/** Deliberate faults: each is a text of the source, which must stand there exactly once, and what it is made of. */
export interface Mutation {
  readonly file: string
  readonly from: string
  readonly to: string
}

export const mutations: Readonly<Record<string, readonly Mutation[]>> = {
  "cursor moved before verification": [
    {
      file: "actors/relay-intake.ts",
      from: "  const add = (item: Item): void => {\n",
      to: `  const add = (item: Item): void => {
    if ("event" in item && item.request.phase() === "live")
      void deps
        .take({ subscription: item.request.subscription, relay: deps.url, events: [], cursorMs: item.atMs, phase: "live" })
        .catch(() => undefined)
`,
    },
  ],
  "cursor moved before commit": [
    {
      file: "src/intake/intake.ts",
      from: "    await engine.deliverWith(envelopes, (outcomes) => {\n",
      to: "    await engine.write(() => moveCursor(batch))\n    await engine.deliverWith(envelopes, (outcomes) => {\n",
    },
  ],
  "batch dropped after a failed commit": [
    {
      file: "actors/relay-intake.ts",
      from: "      deps.failed(subscription, error)\n      return\n",
      to: "      return void error\n",
    },
  ],
  "since exclusive": [{ file: "actors/paging.ts", from: "{ since: window.since }", to: "{ since: window.since + 1 }" }],
  "reconciled gap not fetched": [{ file: "actors/relay-gap.ts", from: "        wanted = ids\n", to: "" }],
  "what an earlier life left not asked for": [
    {
      file: "src/runtime/reading.ts",
      from: "const left = store.ownReceipt.open(wizard, limits.requestIdsMax)",
      to: "const left: readonly string[] = []",
    },
  ],
  "dedupe before verification": [
    {
      file: "actors/relay-reading.ts",
      from: "  const reported = new Set<string>()\n",
      to: "  const reported = new Set<string>()\n  const early = new Set<string>()\n",
    },
    {
      file: "actors/relay-reading.ts",
      from: "      deps.intake.push(asked, event, !asked.ended, bytes)\n",
      to: "      if (early.has(event.id)) return true\n      early.add(event.id)\n      deps.intake.push(asked, event, !asked.ended, bytes)\n",
    },
  ],
  "ack sent before it is durable": [
    {
      file: "src/engine/engine.ts",
      from: "      await database.sync().then(\n        () => tell(group, written),\n",
      to: "      tell(group, written)\n      await database.sync().then(\n        () => undefined,\n",
    },
  ],
  "timer lost on restart": [
    {
      file: "src/engine/alarms.ts",
      from: "  let closed = false\n",
      to: "  let closed = false\n  const lost = new Set(store.timer.due(Number.MAX_SAFE_INTEGER, 1e6).map(({ effect }) => effect))\n",
    },
    {
      file: "src/engine/alarms.ts",
      from: "due.filter(({ actor }) => may(actor))",
      to: "due.filter(({ actor, effect }) => may(actor) && !lost.has(effect))",
    },
  ],
  "resend dropped": [{ file: "src/publish/lane.ts", from: "    place = floor\n    pump()\n", to: "    pump()\n" }],
  "stale command run": [
    {
      file: "src/intake/intake.ts",
      from: "      stale: nowMs / 1000 - event.created_at > limits.commandAgeSecondsMax,\n",
      to: "      stale: false,\n",
    },
  ],
  "floor ignored": [
    {
      file: "src/intake/intake.ts",
      from: "Math.max(relayFloor, options.authorFloor(event.pubkey))",
      to: "Math.min(0, relayFloor)",
    },
  ],
}

/** The source with that fault. Throws where the text does not stand there exactly once. */
export const mutate = (text: string, { file, from, to }: Mutation): string => {
  const times = text.split(from).length - 1
  if (times !== 1) throw new Error(`a deliberate fault's text stands ${times} times in ${file}, and must once`)
  return text.replace(from, () => to)
}
