/** A command line in this process: what it prints, where, and its exit code. */
import { vi } from "vitest"
import { runCli } from "../../src/cli.ts"

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export const run = async (...args: readonly string[]): Promise<Ran> => {
  const written = { stdout: "", stderr: "" }
  const spies = (["stdout", "stderr"] as const).map((name) =>
    vi.spyOn(process[name], "write").mockImplementation((chunk) => {
      written[name] += String(chunk)
      return true
    }),
  )
  try {
    return { code: await runCli(args), ...written }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
}
