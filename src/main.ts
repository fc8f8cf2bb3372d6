/** Where the process begins: runs the CLI and gives its exit code. */
import { runCli } from "./cli.ts"

process.exitCode = await runCli(process.argv.slice(2))
