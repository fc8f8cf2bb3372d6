/** Where the process begins: runs the CLI and gives its exit code. */
import { runCli } from "./cli.ts"

// Whoever reads our output may have had enough (`runtime commands list | head`); that is no fault.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error
  process.exit(0)
})

process.exitCode = await runCli(process.argv.slice(2))
