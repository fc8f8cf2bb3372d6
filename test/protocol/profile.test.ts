import * as fc from "fast-check"
import { expect, it } from "vitest"
import { withId } from "../../src/protocol/event.ts"
import { profileTemplate, readProfile } from "../../src/protocol/profile.ts"

const signer = "aa".repeat(32)

it("a profile reads back as it was printed, and says that it is a bot", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (name, about) => {
      const event = withId(signer, profileTemplate({ name, about, createdAt: 1 }))
      expect(readProfile(event)).toEqual({ name, about, bot: true })
    }),
  )
})

it("P24: no content makes it throw", () => {
  const base = profileTemplate({ name: "timmy", about: "", createdAt: 1 })
  const texts = fc.oneof(fc.string({ unit: "binary" }), fc.json())
  fc.assert(fc.property(texts, (content) => void readProfile(withId(signer, { ...base, content }))))
  expect(readProfile(withId(signer, { ...base, content: '{"name":3,"bot":"yes"}' }))).toEqual({
    name: "",
    about: "",
    bot: false,
  })
  for (const content of ["", "[]", "null", "[".repeat(100_000)]) {
    expect(readProfile(withId(signer, { ...base, content }))).toBeUndefined()
  }
  expect(readProfile(withId(signer, { ...base, kind: 1 }))).toBeUndefined()
})
