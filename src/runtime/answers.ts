/** How each form of command is answered beside its receipts: a note where the person looks, or nothing more. */
import type { Form, Told } from "../engine/commands.ts"
import type { Limits } from "../limits.ts"
import { endText, reactionOf, reactionTemplate, replyTemplate, resultText } from "../protocol/answer.ts"
import type { EventTemplate } from "../protocol/event.ts"
import { isEnd } from "../protocol/status.ts"

export const answers = (
  limits: Pick<Limits, "answerCharsMax">,
): Readonly<Record<Form, (told: Told) => readonly EventTemplate[]>> => ({
  command: () => [],
  note: (told) => {
    const { row, status, atSeconds } = told
    // It is acknowledged again after a loss or a wait; the person is told once.
    const reaction = status === "acknowledged" && row.receipts > 0 ? undefined : reactionOf(status)
    if (reaction === undefined && !isEnd(status)) return []
    const event = told.event()
    return [
      ...(reaction === undefined ? [] : [reactionTemplate(event, reaction, atSeconds)]),
      ...(isEnd(status) ? [replyTemplate(event, finalText(told, limits.answerCharsMax), atSeconds)] : []),
    ]
  },
})

const finalText = ({ row, status, reason, result, atSeconds }: Told, charsMax: number): string => {
  if (status === "artifact-reported" && result !== undefined) {
    const commit = result.artifact?.commit
    const tookMs = Math.max(0, atSeconds * 1000 - row.arrived_ms)
    return resultText({
      text: result.text,
      ...(commit !== undefined && { commit }),
      tookMs: result.tookMs ?? tookMs,
      charsMax,
    })
  }
  return endText(status as "failed", reason ?? "no reason is known", charsMax)
}
