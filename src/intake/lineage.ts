/**
 * Where a wizard's child comes from: its parent and root, verified. Pure; fetching them is the intake's.
 *
 * LN1 Only a command (kind 30079) by a wizard that names parent, root and a depth from 1 on is a child.
 * LN2 Its depth is its parent's + 1, and at most `childDepthMax`, so that wizards never answer each other for ever (P23).
 * LN3 The root is no child; the parent is it, or a child of the same root by a wizard of the roster.
 * LN4 Its sender was meant by the parent, or is a tempo wizard and the parent meant nobody: nobody passes on what was
 *     said to others (P29).
 */
import type { Limits } from "../limits.ts"
import { readCommand, type Command, type Lineage } from "../protocol/command.ts"
import type { NostrEvent } from "../protocol/event.ts"
import { placeOf } from "../protocol/place.ts"
import { wizardByKey, type Roster } from "../protocol/roster.ts"
import { isReadForCommands, targetsOf } from "./who-is-meant.ts"

export type Kinship =
  | { readonly is: "child"; readonly lineage: Lineage; readonly root: string }
  /** Not what it says of itself; a sentence. */
  | { readonly is: "false"; readonly fault: string }
  /** Events that are to be fetched first. */
  | { readonly is: "unknown"; readonly missing: readonly string[] }
  | { readonly is: "none" }

/** `find` gives verified events. */
export const kinshipOf = (
  event: NostrEvent,
  roster: Roster,
  limits: Pick<Limits, "childDepthMax">,
  find: (id: string) => NostrEvent | undefined,
): Kinship => {
  const sender = wizardByKey(roster, event.pubkey)
  const command = readCommand(event)
  if (sender === undefined || command === undefined) return { is: "none" }
  const { depth } = command
  const [parentId, rootId] = [command.parent, command.root]
  if (depth === 0 || parentId === undefined || rootId === undefined) return { is: "none" }
  if (depth > limits.childDepthMax)
    return lie(`it is ${depth} commands away from the person who began; at most ${limits.childDepthMax} are obeyed`)
  const [parent, root] = [find(parentId), find(rootId)]
  if (parent === undefined || root === undefined)
    return { is: "unknown", missing: [...new Set([parentId, rootId])].filter((id) => find(id) === undefined) }
  const fault =
    rootFault(root, roster) ?? parentFault(parent, rootId, depth, roster) ?? senderFault(sender, parent, roster)
  if (fault !== undefined) return lie(fault)
  return {
    is: "child",
    root: rootId,
    lineage: { rootAuthor: root.pubkey, rootPlace: placeOf(root, roster), private: false },
  }
}

const lie = (fault: string): Kinship => ({ is: "false", fault })

const rootFault = (root: NostrEvent, roster: Roster): string | undefined => {
  const isBegun = isReadForCommands(root.kind) && readCommand(root)?.fault === undefined
  if (!isBegun || depthOf(root) > 0 || wizardByKey(roster, root.pubkey) !== undefined)
    return "its root is no command by a person"
  return undefined
}

const parentFault = (parent: NostrEvent, rootId: string, depth: number, roster: Roster): string | undefined => {
  if (depthOf(parent) !== depth - 1) return `its depth is ${depth}, its parent's ${depthOf(parent)}`
  if (depth === 1)
    return parent.id === rootId ? undefined : "its parent is not its root, although it is the first child"
  const isChild = readCommand(parent)?.root === rootId && wizardByKey(roster, parent.pubkey) !== undefined
  return isChild ? undefined : "its parent is no child of its root"
}

const senderFault = (
  sender: { readonly name: string; readonly class: string },
  parent: NostrEvent,
  roster: Roster,
): string | undefined => {
  const meant = targetsOf(parent, roster)?.wizards ?? []
  const isTriage = meant.length === 0 && sender.class === "tempo"
  return meant.includes(sender.name) || isTriage ? undefined : `its parent was not said to ${sender.name}`
}

const depthOf = (event: NostrEvent): number => (readCommand(event) as Command | undefined)?.depth ?? 0
