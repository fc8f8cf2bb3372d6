/** What the running process does when another process of this machine asks it over the control socket. */
import { parseOrder } from "../protocol/orders.ts"
import type { ControlHandlers } from "./control.ts"
import type { Council } from "./council.ts"
import { forDeadLetters } from "./dead-letters.ts"
import { carryOut } from "./desk.ts"
import { StartRefused } from "./options.ts"
import type { WizardHost } from "./wizard.ts"

export const handlersOf = (runtime: Council, nudge: () => void): ControlHandlers => {
  const named = (name: string | undefined): readonly WizardHost[] => {
    const found = runtime.wizards.filter((wizard) => name === undefined || wizard.name === name)
    if (found.length === 0) throw new StartRefused({ reason: `no wizard called ${name} runs here` })
    return found
  }
  const { publisher } = runtime
  return {
    ping: () => ({ pid: process.pid, relays: runtime.relays.list(), council: runtime.rosters.council }),
    ps: () => ({
      tree: runtime.tree(),
      wizards: runtime.wizards.map((wizard) => ({
        name: wizard.name,
        pubkey: wizard.pubkey,
        ...wizard.status(),
        relays: wizard.relays(),
      })),
      counts: runtime.counts(),
      restarts: runtime.store.restart.recent(20),
    }),
    claim: ({ wizard }) => {
      const waiting = named(wizard).filter((host) => ["listening", "standby"].includes(host.status().state))
      for (const host of waiting) host.claim()
      return { claimed: waiting.map(({ name }) => name) }
    },
    order: ({ text = "", self = "" }) => {
      const order = parseOrder(text)
      if (order === undefined) throw new StartRefused({ reason: `"${text}" is no order about the roster` })
      return carryOut(order, self, runtime)
    },
    outgoing: () => nudge(),
    relays: () =>
      runtime.wizards.flatMap(({ name, relays }) =>
        relays().map((report) => ({ wizard: name, ...report, backlog: publisher.backlog(name, report.url) })),
      ),
    "relays-add": async ({ url = "" }) => ({ url: await runtime.relays.add(url) }),
    "relays-remove": async ({ url = "" }) => ({ url: await runtime.relays.remove(url) }),
    "outbox-resend": async ({ which = "" }) => {
      const { count, wizards } = await forDeadLetters(runtime.store, which, publisher.resend)
      const away = wizards.filter((name) => !runtime.wizards.some((wizard) => wizard.name === name))
      return { count, away }
    },
    "outbox-drop": async ({ which = "" }) => {
      const { count } = await forDeadLetters(runtime.store, which, publisher.drop)
      return { count }
    },
  }
}
