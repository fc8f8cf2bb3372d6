/** A heap of sources of rows, the one with the first row on top. Those on it have a row. */
import { isBefore, type Row } from "./query.ts"

export interface Headed {
  readonly head: () => Row | undefined
}

export const push = <S extends Headed>(heap: S[], source: S): void => {
  let place = heap.push(source) - 1
  while (place > 0) {
    const parent = (place - 1) >> 1
    if (!isAbove(heap, place, parent)) return
    swap(heap, place, parent)
    place = parent
  }
}

/** The top source has another row now, or none: it finds its place, or leaves. */
export const settleTop = <S extends Headed>(heap: S[]): void => {
  if (heap[0]?.head() === undefined) {
    const end = heap.pop()
    if (heap.length === 0 || end === undefined) return
    heap[0] = end
  }
  let place = 0
  for (;;) {
    const [left, right] = [2 * place + 1, 2 * place + 2]
    let best = place
    if (left < heap.length && isAbove(heap, left, best)) best = left
    if (right < heap.length && isAbove(heap, right, best)) best = right
    if (best === place) return
    swap(heap, place, best)
    place = best
  }
}

const isAbove = (heap: readonly Headed[], a: number, b: number): boolean =>
  isBefore((heap[a] as Headed).head() as Row, (heap[b] as Headed).head() as Row)

const swap = <S>(heap: S[], a: number, b: number): void => {
  const held = heap[a] as S
  heap[a] = heap[b] as S
  heap[b] = held
}
