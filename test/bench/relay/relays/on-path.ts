/** Finds a program as a shell would. */
import { accessSync, constants } from "node:fs"
import { delimiter, join, resolve } from "node:path"

/** `given`, or the first of that name on PATH; undefined where there is none. */
export const programAt = (name: string, given: string | undefined): string | undefined => {
  const places =
    given === undefined ? (process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, name)) : [resolve(given)]
  return places.find((file) => {
    try {
      accessSync(file, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
