import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { limits } from "../../src/limits.ts"
import { ConfigFault, readConfig } from "../../src/runtime/config.ts"
import { homeOf, HomeUnusable, makeHome } from "../../src/runtime/home.ts"

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "config-"))
  file = join(folder, "config.json")
})
afterEach(() => rmSync(folder, { recursive: true }))

const read = (content: string): ReturnType<typeof readConfig> => {
  writeFileSync(file, content)
  return readConfig(file)
}
const fault = (content: string): string => {
  try {
    read(content)
  } catch (error) {
    if (error instanceof ConfigFault) return error.message
    throw error
  }
  throw new Error("it was taken")
}

/** Anything but a ConfigFault is thrown on. */
const outcomeOf = (content: string): string => {
  try {
    return read(content).limits === undefined ? "lost" : "taken"
  } catch (error) {
    if (error instanceof ConfigFault) return "refused"
    throw error
  }
}

describe("the config file", () => {
  it("that is not there is an empty one", () => {
    expect(readConfig(file)).toEqual({ config: {}, limits })
  })

  it("sets what it names and leaves the rest", () => {
    const given = {
      relays: ["wss://relay.example"],
      relayPort: 0,
      roles: { timmy: { class: "local", executor: "note" } },
      limits: { instanceWaitSeconds: 0.2 },
    }
    const { config, limits: inForce } = read(JSON.stringify(given))
    expect(config).toEqual(given)
    expect(inForce).toEqual({ ...limits, instanceWaitSeconds: 0.2 })
  })

  it.each([
    ['{"relay":["ws://a"]}', '"relay" is no setting; did you mean "relays"?'],
    ['{"limits":{"restartMax":3}}', '"restartMax" is no setting; did you mean "restartsMax"?'],
    ['{"limits":{"heartbeatSecond":3},"rols":{}}', 'did you mean "roles"?; "heartbeatSecond" is no setting'],
    ['{"colours":true}', '"colours" is no setting (known: relays, relayPort, roles, limits'],
    ['{"roles":{"timmy":{"clas":"local"}}}', '"clas" is no setting; did you mean "class"?'],
    ['{"relayPort":70000}', "relayPort"],
    ['{"relayPort":"3334"}', "relayPort"],
    ['{"relays":"ws://a"}', "relays"],
    ['{"limits":{"restartsMax":0}}', "restartsMax"],
    ['{"limits":{"restartsMax":"many"}}', "restartsMax"],
    ['{"limits":{"restartsMax":1e999}}', "restartsMax"],
    ["[]", "Expected"],
    ["null", "Expected"],
    ['{"relays":[}', "is not JSON"],
    ["", "is not JSON"],
  ])("%s is refused, and the file and the place are named", (content, says) => {
    const message = fault(content)
    expect(message.startsWith(`${file}: `)).toBe(true)
    expect(message).toContain(says)
    expect(message).not.toContain("\n")
  })

  it("that cannot be read is told apart from one that holds no JSON", () => {
    mkdirSync(file)
    expect(() => readConfig(file)).toThrow(/cannot be read \(EISDIR/)
  })

  it("is read or refused with a ConfigFault, whatever it holds", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (content) => {
        expect(["taken", "refused"]).toContain(outcomeOf(content))
      }),
      { numRuns: 60 },
    )
  })
})

describe("a home", () => {
  it("that is given holds everything; without one the protocol's places are used", () => {
    const given = homeOf(folder, {})
    for (const place of [given.database, given.relayDatabase, given.config, given.control, given.outgoing, given.work])
      expect(place.startsWith(`${folder}/`)).toBe(true)
    expect(given.artifacts("timmy")).toBe(join(folder, "artifacts", "timmy-artifacts"))
    const own = homeOf(undefined, { XDG_DATA_HOME: folder })
    expect(own.explicit).toBeUndefined()
    expect(own.dir).toBe(join(folder, "wizardly-runtime"))
    expect(own.artifacts("timmy")).not.toContain("wizardly-runtime")
    expect(homeOf(undefined, { RUNTIME_HOME: folder }).explicit).toBe(folder)
    expect(homeOf("/b", { RUNTIME_HOME: folder }).dir).toBe("/b")
  })

  it("is refused where it is a file, or too long for its socket, and nothing is made", () => {
    const taken = join(folder, "file")
    writeFileSync(taken, "")
    expect(() => makeHome(homeOf(taken))).toThrow(HomeUnusable)
    expect(() => makeHome(homeOf(taken))).toThrow(/cannot be a home .*name another with --home DIR/)
    const long = join(folder, "x".repeat(110))
    expect(() => makeHome(homeOf(long))).toThrow(/its name is too long by \d+ for the control socket/)
    expect(() => chmodSync(long, 0o700)).toThrow(/ENOENT/)
  })
})
