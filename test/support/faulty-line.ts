/**
 * A TCP proxy on loopback that fails as its seed says: it breaks the stream into pieces and keeps them back for a
 * while, falls silent in one direction or both as a half-open line does, and cuts.
 *
 *   client ══ up ══► proxy ══► target
 *   client ◄═ down ═ proxy ◄══ target
 *
 * FL1 What goes wrong with the n-th connection depends on the seed and n alone, and where is counted in bytes: the same
 *     seed has the same faults.
 * FL2 Bytes come out in order and whole as far as the fault; after it nothing.
 * FL3 A silent line swallows what it is given, and stays open until one side lets go of it.
 */
import { once } from "node:events"
import { connect, createServer, type AddressInfo, type Socket } from "node:net"
import { seededChance, type ChanceShape } from "../../src/services/chance.ts"
import { sleep, systemClock } from "../../src/services/clock.ts"

const faultKinds = ["cut", "goodbye", "silent up", "silent down", "silent"] as const
export type FaultKind = (typeof faultKinds)[number]

/** How one connection ends, unless its sides end it before. */
export interface LineFault {
  readonly kind: FaultKind
  /** It strikes when so many bytes of that direction were handed on. */
  readonly direction: Direction
  readonly afterBytes: number
}

export interface Struck extends LineFault {
  /** Which connection, counted from 0. */
  readonly connection: number
}

export interface FaultyLine {
  readonly port: number
  /** The faults that struck, in their order. */
  readonly struck: readonly Struck[]
  /** Connections so far. */
  readonly connections: () => number
  /** How often a stream was broken into pieces and kept back. */
  readonly hiccups: () => number
  readonly close: () => Promise<void>
}

type Direction = "up" | "down"

/** Most bytes between two hiccups, how long one is, and the bytes that a connection may last: of widely varied length. */
const hiccupBytesMax = 64 * 1024
const hiccupMsMax = 25
const lifeBytesMin = 2 * 1024
const lifeBytesMax = 4 * 1024 * 1024

/** What becomes of the n-th connection (FL1). */
export const faultOf = (seed: number, connection: number): LineFault => {
  const chance = chanceOf(seed, connection, 0)
  const span = Math.log(lifeBytesMax / lifeBytesMin)
  return {
    kind: faultKinds[Math.floor(chance.next() * faultKinds.length)] ?? "cut",
    direction: chance.next() < 0.3 ? "up" : "down",
    afterBytes: Math.floor(lifeBytesMin * Math.exp(chance.next() * span)),
  }
}

const chanceOf = (seed: number, connection: number, part: number): ChanceShape =>
  seededChance(Math.imul(seed, 0x9e3779b1) ^ Math.imul(connection * 3 + part + 1, 0x85ebca6b))

export const openFaultyLine = async (seed: number, target: URL): Promise<FaultyLine> => {
  const struck: Struck[] = []
  const open = new Set<Socket>()
  let connections = 0
  let hiccups = 0

  const join = (client: Socket): void => {
    const connection = connections++
    const fault = faultOf(seed, connection)
    const relay = connect(Number(target.port), target.hostname)
    const silent = new Set<Direction>()
    const sides = [client, relay]
    for (const side of sides) {
      side.setNoDelay(true)
      open.add(side)
      side.on("error", () => side.destroy())
      side.once("close", () => {
        open.delete(side)
        for (const other of sides) other.destroy()
      })
    }
    const strike = (): void => {
      struck.push({ connection, ...fault })
      if (fault.kind === "cut") for (const side of sides) side.resetAndDestroy()
      else if (fault.kind === "goodbye") for (const side of sides) side.end()
      for (const direction of ["up", "down"] as const)
        if (fault.kind !== `silent ${direction === "up" ? "down" : "up"}`) silent.add(direction)
    }
    const carry = async (direction: Direction, from: Socket, to: Socket): Promise<void> => {
      const chance = chanceOf(seed, connection, direction === "up" ? 1 : 2)
      const gap = (): number => 1 + Math.floor(chance.next() ** 2 * hiccupBytesMax)
      let end = fault.direction === direction ? fault.afterBytes : Number.POSITIVE_INFINITY
      let passed = 0
      let hiccup = gap()
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        let rest = chunk as Buffer
        while (rest.length > 0 && !silent.has(direction)) {
          const piece = rest.subarray(0, Math.min(hiccup, end) - passed)
          rest = rest.subarray(piece.length)
          passed += piece.length
          if (!to.write(piece)) await Promise.race([once(to, "drain"), once(to, "close")])
          if (passed === end) {
            end = Number.POSITIVE_INFINITY
            strike()
          }
          if (passed < hiccup) continue
          hiccups += 1
          hiccup += gap()
          await sleep(systemClock, chance.next() * hiccupMsMax)
        }
      }
      to.end()
    }
    for (const [direction, from, to] of [
      ["up", client, relay],
      ["down", relay, client],
    ] as const)
      carry(direction, from, to).catch(() => from.destroy())
  }

  const server = createServer(join).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    port: (server.address() as AddressInfo).port,
    struck,
    connections: () => connections,
    hiccups: () => hiccups,
    close: async () => {
      server.close()
      for (const socket of open) socket.destroy()
      await once(server, "close")
    },
  }
}
