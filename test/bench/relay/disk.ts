/** What the disk under the temporary folder takes for a write of 4 KB that is synced: the floor of every durable group. */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { at } from "./fan-out.ts"

/** The median in milliseconds. */
export const syncMs = (): number => {
  const dir = mkdtempSync(join(tmpdir(), "wizardly-bench-disk-"))
  const file = openSync(join(dir, "file"), "w")
  const page = Buffer.alloc(4096, 1)
  const times = Array.from({ length: 100 }, () => {
    writeSync(file, page)
    const began = performance.now()
    fdatasyncSync(file)
    return performance.now() - began
  })
  closeSync(file)
  rmSync(dir, { recursive: true, force: true })
  return at(
    times.sort((a, b) => a - b),
    0.5,
  )
}
