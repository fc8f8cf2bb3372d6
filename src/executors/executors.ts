/** The executors there are. A new one is a file and a line here. */
import type { Executor } from "./executor.ts"
import { none } from "./none.ts"
import { note } from "./note.ts"

export const executors = { note, none } satisfies Record<string, Executor>

export type ExecutorName = keyof typeof executors

export const isExecutorName = (name: string): name is ExecutorName => Object.hasOwn(executors, name)
