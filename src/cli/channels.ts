/** `runtime channels list|create`: where the council meets. */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { answerOf, channelsOf } from "../runtime/roster-text.ts"
import { print } from "./exit.ts"
import { homeFlag, homeFrom, jsonFlag } from "./flags.ts"
import { heldRoster } from "./known.ts"
import { channelArgument, channelOf, order } from "./order.ts"

const list = Command.make("list", { home: homeFlag, json: jsonFlag }, ({ home, json }) =>
  Effect.sync(() => {
    const { roster, store } = heldRoster(homeFrom(home))
    if (json) return print(JSON.stringify(channelsOf(roster)))
    print(store((opened) => answerOf({ name: "channels", to: "list" }, roster, opened)))
  }),
).pipe(Command.withDescription("the channels and rooms, and who is in them"))

const create = Command.make(
  "create",
  {
    channel: channelArgument,
    private: Flag.Boolean("private").pipe(
      Flag.withDescription("an encrypted room of its members (NIP-17) instead of a public channel (NIP-28)"),
      Flag.withDefault(false),
    ),
    home: homeFlag,
    json: jsonFlag,
  },
  ({ channel, private: isPrivate, home, json }) =>
    Effect.suspend(() =>
      order({ home, json, order: { name: "channels", to: "create", channel: channelOf(channel), private: isPrivate } }),
    ),
).pipe(Command.withDescription("one more, signed by the council"))

export const channels = Command.make("channels").pipe(
  Command.withDescription("where the council meets"),
  Command.withSubcommands([list, create]),
)
