/** Arguments of a git call that starts a program, which writes its pid to `begun` and waits for the file `go` (or for the folder to go). */
const script =
  "echo $$ > begun.part; mv begun.part begun; while [ -e begun -a ! -e go ]; do sleep 0.02; done; echo ended"

export const waiting = ["-c", `alias.waiting=!${script}`, "waiting"]
