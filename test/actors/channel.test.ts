import { describe, expect, it } from "vitest"
import { runChannel } from "../../actors/channel.ts"

describe("channel actor", () => {
  it("CH1, CH2: answers each message once, before it returns", async () => {
    const log: string[] = []
    const channel = runChannel({
      limits: { channelMembersMax: 2 },
      accepted: (message) => log.push(`+${message}`),
      refused: (message, reason) => log.push(`-${message}: ${reason}`),
    })
    channel.message("claude", "m1")
    channel.define("c0", ["claude"])
    channel.message("claude", "m2")
    channel.message("mallory", "m3")
    channel.archive()
    channel.message("claude", "m4")
    expect(log).toEqual([
      "-m1: no such channel in the roster",
      "+m2",
      "-m3: not a member of this channel",
      "-m4: the channel is archived",
    ])
    expect(channel.status()).toEqual({ state: "archived", id: "c0", members: ["claude"] })
    await channel.close()
  })
})
