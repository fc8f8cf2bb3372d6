/** The executors there are. A new one is a file and a line here. */
import { acp } from "./acp.ts"
import { always, type ExecutorKind } from "./kind.ts"
import { http } from "./http.ts"
import { mlx } from "./mlx.ts"
import { none } from "./none.ts"
import { note } from "./note.ts"
import { program } from "./program.ts"

export const executors = { note: always(note), none: always(none), program, acp, mlx, http } satisfies Record<
  string,
  ExecutorKind
>

export type ExecutorName = keyof typeof executors

export const isExecutorName = (name: string): name is ExecutorName => Object.hasOwn(executors, name)
