/** What will happen in a world, as data: made from a seed (`plan-of.ts`), printed when it fails, shrunk by leaving things out. */
import type { StopPoint } from "./disk.ts"

/** Each is a chance in [0, 1) that is taken at each occasion. */
export interface RelayFaults {
  readonly duplicate?: number
  readonly forge?: number
  /** Frames of a subscription that nobody has. */
  readonly confuse?: number
  readonly shuffle?: number
  readonly close?: number
  readonly noEose?: number
  readonly lateEose?: number
  readonly loseIn?: number
  readonly loseOk?: number
  /** OK false, then OK true. */
  readonly doubt?: number
  readonly refuse?: number
  readonly rotateAuth?: number
  /** Text that is no frame. */
  readonly garble?: number
  /** Of relays that are not honest. */
  readonly dropLive?: number
  readonly dropStored?: number
  readonly reorder?: number
  readonly refuseForGood?: number
  readonly lieFinish?: number
}

export interface RelaySpec {
  readonly url: string
  readonly honest: boolean
  readonly auth: boolean
  /** Rows of a page. */
  readonly cap: number
  readonly hints: boolean
  /** The home's start does not name it; somebody may add it. */
  readonly late?: boolean
  /** It does NIP-77, and says so. */
  readonly reconciles?: boolean
}

/** `wizard`: the first wizard's own key, in words that look like a person's. */
export type Author = "operator" | "deputy" | "stranger" | "wizard"

export type Op = { readonly atMs: number } & (
  | {
      readonly type: "command"
      /** How others refer to it. */
      readonly name: string
      readonly author: Author
      readonly form: "command" | "note"
      readonly body: string
      readonly targets: readonly string[]
      readonly relays: readonly string[]
      /** How long before now it is dated; negative is the future. */
      readonly ageSeconds: number
      /** From now. */
      readonly deadlineSeconds?: number
      readonly priority?: "low" | "urgent"
    }
  /** Dated at the very second from which on a wizard reads that relay. */
  | { readonly type: "at-floor"; readonly name: string; readonly target: string; readonly relay: string }
  /** The word `cancel`, with the id of that command; it may come before the command does. */
  | {
      readonly type: "cancel"
      readonly name: string
      readonly of: string
      readonly author: Author
      readonly relays: readonly string[]
    }
  | { readonly type: "republish"; readonly name: string; readonly relay: string }
  | { readonly type: "forge"; readonly name: string; readonly relay: string }
  | { readonly type: "faults"; readonly relay: string; readonly faults: RelayFaults; readonly forMs: number }
  | { readonly type: "delay"; readonly relay: string; readonly mostMs: number }
  | { readonly type: "cut"; readonly relay: string; readonly code: number }
  | { readonly type: "stall"; readonly relay: string; readonly forMs: number }
  | { readonly type: "restart-relay"; readonly relay: string; readonly downMs: number; readonly loseData: boolean }
  | { readonly type: "add-relay" | "remove-relay"; readonly relay: string }
  /** A person looks after what no relay took. */
  | { readonly type: "dead-letters"; readonly how: "resend" | "drop" }
  /** SIGTERM: it drains, and ends by itself. */
  | { readonly type: "terminate"; readonly downMs: number }
  | { readonly type: "kill"; readonly how: "process" | "power"; readonly downMs: number }
  | {
      readonly type: "kill-at"
      readonly point: StopPoint
      readonly skip: number
      readonly how: "process" | "power"
      readonly downMs: number
    }
  | { readonly type: "disk-full"; readonly forMs: number }
  | { readonly type: "slow-disk"; readonly forMs: number; readonly mostMs: number }
  | { readonly type: "step-clock"; readonly byMs: number }
  | { readonly type: "sleep"; readonly forMs: number }
  | { readonly type: "copy-home" }
  | { readonly type: "restore-home"; readonly downMs: number }
  | { readonly type: "lose-home"; readonly downMs: number }
  | { readonly type: "twin"; readonly forMs: number }
  | { readonly type: "revoke-deputy" }
)

export interface Plan {
  readonly seed: number
  readonly signatures: "fast" | "real"
  readonly wizards: readonly string[]
  readonly relays: readonly RelaySpec[]
  readonly repeat: "safe" | "never"
  readonly queueRowsMax: number
  readonly intakeRowsMax: number
  readonly pageRowsMax: number
  /** When the faults stop. */
  readonly calmMs: number
  readonly ops: readonly Op[]
}
