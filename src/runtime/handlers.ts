/** What the running process does when another process of this machine asks it over the control socket. */
import { npubOf } from "../identity/keys.ts"
import { isName, isOperator, isWizardClass } from "../protocol/roster.ts"
import type { ControlHandlers } from "./control.ts"
import type { Council } from "./council.ts"
import { forDeadLetters } from "./dead-letters.ts"
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
    admit: async ({ name = "", pubkey = "", class: className = "" }) => {
      if (!isName(name) || !isWizardClass(className))
        throw new StartRefused({ reason: `${name} cannot be admitted as "${className}"` })
      const held = runtime.rosters.inForce()
      const known = held?.wizards.find((wizard) => wizard.name === name || wizard.pubkey === pubkey)
      if (known !== undefined)
        throw new StartRefused({ reason: `${known.name} is admitted already, with the key ${npubOf(known.pubkey)}` })
      if (pubkey === runtime.rosters.council || (held !== undefined && isOperator(held, pubkey)))
        throw new StartRefused({ reason: "that key commands the council, it cannot be a wizard's as well" })
      const roster = await runtime.rosters.amend([{ type: "add-wizard", name, pubkey, class: className }])
      return { version: roster.version }
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
