/** The executors there are. A new one is a file and a line here. */
import { always, type ExecutorKind } from "./kind.ts"
import { none } from "./none.ts"
import { note } from "./note.ts"
import { program } from "./program.ts"

export const executors = { note: always(note), none: always(none), program } satisfies Record<string, ExecutorKind>

export type ExecutorName = keyof typeof executors

export const isExecutorName = (name: string): name is ExecutorName => Object.hasOwn(executors, name)
