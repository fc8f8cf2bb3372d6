/**
 * What finished work and idle wizards cost in memory.
 *
 *   --finished N (100000)   resident set of a runtime that opens a database with that many finished commands, against
 *                           the same runtime on an empty one
 *   --wizards N (1000)      resident set with that many idle wizards, against the empty runtime
 */
import { parseArgs } from "node:util"

export const memory = async (args: readonly string[]): Promise<void> => {
  parseArgs({ args: [...args], options: {} })
}
