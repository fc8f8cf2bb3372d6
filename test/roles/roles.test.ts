import { describe, expect, it } from "vitest"
import { wizardClasses } from "../../src/protocol/roster.ts"
import { classOfName, roles } from "../../src/roles/roles.ts"

/** The seed's tables of groups and agents. */
const seed = {
  tempo: ["allegro"],
  local: ["timmy"],
  implementation: ["ezra", "bezalel"],
  worker: ["claude", "kimi", "grok", "gemini", "groq"],
  researcher: ["perplexity", "google", "manus"],
} as const

const inChannel = (channel: string): string[] =>
  wizardClasses.filter((name) => (roles[name].channels as readonly string[]).includes(channel))

describe("roles", () => {
  it("gives the seed's names their classes, in any case", () => {
    for (const [role, names] of Object.entries(seed)) {
      expect(names.map((name) => classOfName(name))).toEqual(names.map(() => role))
      expect(names.map((name) => classOfName(name.toUpperCase()))).toEqual(names.map(() => role))
    }
  })

  it("gives an unknown name none", () => {
    for (const name of ["", "bob", "tempo", "constructor", "timmy "]) expect(classOfName(name)).toBeUndefined()
  })

  it("puts classes in the seed's channels", () => {
    expect(inChannel("council-general")).toEqual([...wizardClasses])
    expect(inChannel("workers")).toEqual(["tempo", "worker"])
    expect(inChannel("researchers")).toEqual(["tempo", "researcher"])
    expect(inChannel("tempo-urgent")).toEqual(["tempo"])
  })

  it("lets tempo wizards alone triage", () => {
    expect(wizardClasses.filter((name) => roles[name].triages)).toEqual(["tempo"])
  })
})
