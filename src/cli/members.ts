/** `runtime invite|remove NPUB CHANNEL`, `runtime join|leave NAME CHANNEL`: who is in which channel. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { homeFlag, jsonFlag } from "./flags.ts"
import { channelArgument, channelOf, keyArgument, keyOf, nameOf, order, wizardArgument } from "./order.ts"

const membership = (name: "invite" | "remove", description: string) =>
  Command.make(
    name,
    { key: keyArgument, channel: channelArgument, home: homeFlag, json: jsonFlag },
    ({ key, channel, home, json }) =>
      Effect.suspend(() => order({ home, json, order: { name, pubkey: keyOf(key), channel: channelOf(channel) } })),
  ).pipe(Command.withDescription(description))

const stay = (name: "join" | "leave", description: string) =>
  Command.make(
    name,
    { wizard: wizardArgument, channel: channelArgument, home: homeFlag, json: jsonFlag },
    ({ wizard, channel, home, json }) =>
      Effect.suspend(() => order({ home, json, self: nameOf(wizard), order: { name, channel: channelOf(channel) } })),
  ).pipe(Command.withDescription(description))

export const invite = membership("invite", "somebody, or a wizard, may command in a channel")
export const remove = membership("remove", "somebody, or a wizard, may command in a channel no more")
export const join = stay("join", "a wizard is in a channel that is open to its class")
export const leave = stay("leave", "a wizard is in a channel no more")
