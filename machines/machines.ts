/** Every statechart of the runtime, by the name of its file. The diagrams and the inspector are made from this list. */
import type { AnyStateMachine } from "xstate"
import { machine as channel } from "./channel.ts"
import { machine as command } from "./command.ts"
import { machine as modelServer } from "./model-server.ts"
import { machine as relayConnection } from "./relay-connection.ts"
import { machine as wizard } from "./wizard.ts"

export const machines = {
  channel,
  command,
  "model-server": modelServer,
  "relay-connection": relayConnection,
  wizard,
} satisfies Record<string, AnyStateMachine>
