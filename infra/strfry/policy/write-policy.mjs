#!/usr/bin/env node
/**
 * strfry's write policy: who is in members.txt may write; nobody else.
 *
 * Two kinds are signed by throw-away keys and are judged by whom they are for: a gift wrap (1059) and a remote signer's
 * message (24133) pass when a member is among their `p` tags, or when a member authenticated on that connection.
 *
 * strfry sends one JSON line for each event and waits for one line back. What cannot be understood is refused. An empty
 * or missing list refuses everything. The list is beside this file, or where MEMBERS says.
 */
import { readFileSync, statSync } from "node:fs"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

const file = process.env.MEMBERS ?? fileURLToPath(new URL("members.txt", import.meta.url))
const throwAway = new Set([1059, 24133])

createInterface({ input: process.stdin }).on("line", (line) => {
  const answer = answerTo(line)
  if (answer !== undefined) process.stdout.write(`${JSON.stringify(answer)}\n`)
})

function answerTo(line) {
  let request
  try {
    request = JSON.parse(line)
  } catch {
    complain("not JSON")
    return undefined
  }
  const event = request?.event
  if (request?.type !== "new" || typeof event?.id !== "string") {
    complain("not a new event")
    return undefined
  }
  return mayWrite(event, request.authed)
    ? { id: event.id, action: "accept" }
    : { id: event.id, action: "reject", msg: "restricted: members of the council write here" }
}

/** strfry puts it into its own log. */
function complain(fault) {
  process.stderr.write(`write policy: ${fault}\n`)
}

function mayWrite({ pubkey, kind, tags }, authed) {
  const members = current()
  if (members.has(pubkey)) return true
  if (!throwAway.has(kind)) return false
  return members.has(authed) || tags.some(([name, value]) => name === "p" && members.has(value))
}

let held = { changedMs: Number.NaN, members: new Set() }

/** The list as it is now; one that cannot be read is empty. */
function current() {
  try {
    const { mtimeMs } = statSync(file)
    if (mtimeMs !== held.changedMs) held = { changedMs: mtimeMs, members: read(readFileSync(file, "utf8")) }
  } catch (error) {
    held = { changedMs: Number.NaN, members: new Set() }
    complain(error.message)
  }
  return held.members
}

function read(text) {
  const members = new Set()
  for (const [index, line] of text.split("\n").entries()) {
    const [key = ""] = line.trim().split(/\s+/)
    if (key === "" || key.startsWith("#")) continue
    const hex = /^[0-9a-f]{64}$/.test(key) ? key : hexOf(key)
    if (hex === undefined) complain(`line ${index + 1} holds no key: ${key}`)
    else members.add(hex)
  }
  return members
}

/** NIP-19's npub: bech32 of 32 bytes, its checksum included, so that a slip of the pen admits nobody. */
function hexOf(npub) {
  if (!/^npub1[02-9ac-hj-np-z]{58}$/.test(npub)) return undefined
  const values = Array.from(npub.slice(5), (letter) => "qpzry9x8gf2tvdw0s3jn54khce6mua7l".indexOf(letter))
  const prefix = [..."npub"].map((letter) => letter.charCodeAt(0))
  if (checksum([...prefix.map((code) => code >> 5), 0, ...prefix.map((code) => code & 31), ...values]) !== 1)
    return undefined
  let bits = 0
  let held = 0
  const bytes = []
  for (const value of values.slice(0, -6)) {
    held = ((held << 5) | value) & 0xfff
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((held >> bits) & 0xff)
  }
  return Buffer.from(bytes).toString("hex")
}

function checksum(values) {
  const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [bit, generator] of generators.entries()) if ((top >> bit) & 1) sum ^= generator
  }
  return sum
}
