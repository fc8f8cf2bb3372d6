/** A folder for PATH whose git waits, on a commit, for as long as the file `hold` is there; then `held` is there too. */
import { execFileSync } from "node:child_process"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export const slowGit = (
  folder: string,
): { readonly env: NodeJS.ProcessEnv; readonly hold: string; readonly held: string } => {
  const real = execFileSync("sh", ["-c", "command -v git"], { encoding: "utf8" }).trim()
  const [hold, held] = [join(folder, "hold"), join(folder, "held")]
  const script = `#!/bin/sh
for word in "$@"; do
  if [ "$word" = commit ]; then while [ -e "${hold}" ]; do : > "${held}"; sleep 0.05; done; fi
done
exec "${real}" "$@"
`
  writeFileSync(join(folder, "git"), script)
  chmodSync(join(folder, "git"), 0o755)
  return { env: { PATH: `${folder}:${process.env["PATH"]}` }, hold, held }
}
