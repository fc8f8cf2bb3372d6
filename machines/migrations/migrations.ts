/**
 * How a snapshot that an older version of a machine wrote is read by the next one. A machine's list holds, at place
 * i, the way from version i + 1 to i + 2; a version without a way is refused at start.
 */

export interface Stored {
  readonly state: string
  readonly context: unknown
}

export type Migration = (stored: Stored) => Stored

export const migrations: Readonly<Record<string, readonly Migration[]>> = {
  command: [],
}
