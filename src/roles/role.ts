/**
 * What a class of wizards is: the channels it belongs in and the rights it has. Never what it may be asked about: any
 * wizard takes any task.
 */
export interface Role {
  /** For a profile and for lists. */
  readonly description: string
  /** Names of the seed's channels that a wizard of this class is in from the start. */
  readonly channels: readonly string[]
  /** Whether it answers for the council: unknown names, and what names nobody. */
  readonly triages: boolean
}
