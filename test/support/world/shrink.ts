/** The shortest plan that still fails: whole stretches of what happens are left out, then single things, then details. */
import type { Op, Plan } from "./plan.ts"

export const shrink = async (plan: Plan, fails: (plan: Plan) => Promise<boolean>, triesMax = 200): Promise<Plan> => {
  let best = plan
  let tries = 0
  const attempt = async (candidate: Plan): Promise<boolean> => {
    if (tries >= triesMax) return false
    tries++
    if (!(await fails(candidate))) return false
    best = candidate
    return true
  }
  for (let size = Math.ceil(best.ops.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.ops.length;) {
      const ops = [...best.ops.slice(0, at), ...best.ops.slice(at + size)]
      if (!(await attempt({ ...best, ops }))) at += size
    }
  }
  for (const name of best.wizards.slice(1)) {
    const ops = best.ops.map((op) =>
      op.type === "command" ? { ...op, targets: op.targets.filter((target) => target !== name) } : op,
    )
    const rest = ops.filter((op) => op.type !== "command" || op.targets.length > 0)
    await attempt({ ...best, wizards: best.wizards.filter((other) => other !== name), ops: rest })
  }
  for (const { url } of best.relays.toReversed()) {
    // A start names one at the least.
    if (!best.relays.some((relay) => relay.url !== url && relay.late !== true)) continue
    const ops = best.ops.flatMap((op): Op[] => {
      if ("relay" in op) return op.relay === url ? [] : [op]
      if (op.type !== "command" && op.type !== "cancel") return [op]
      const relays = op.relays.filter((relay) => relay !== url)
      return relays.length === 0 ? [] : [{ ...op, relays }]
    })
    await attempt({ ...best, relays: best.relays.filter((relay) => relay.url !== url), ops })
  }
  for (const [at, op] of best.ops.entries()) {
    if (op.type !== "faults") continue
    for (const name of Object.keys(op.faults)) {
      const now = best.ops[at]
      if (now?.type !== "faults") break
      const faults = Object.fromEntries(Object.entries(now.faults).filter(([other]) => other !== name))
      await attempt({ ...best, ops: best.ops.with(at, { ...now, faults }) })
    }
  }
  return best
}
