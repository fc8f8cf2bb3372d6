/**
 * Where programs of others run: they see the system's programs and libraries, their clone, a home of their own, and what
 * the settings name. Everything else of this machine's files (keys, the runtime's home and control socket, other clones)
 * is not there for them; neither are its processes, nor, unless the settings open it, any network, loopback included.
 *
 *   Linux   bwrap, an allow-list: what is not bound does not exist inside
 *   macOS   sandbox-exec, a deny-list over the user's folders (not tried on macOS)
 *   none    only by `"sandbox": "none"`: it can read and write all that this user can
 *
 * S1: without a sandbox that works here, and without that setting, there is no executor.
 * S2: memory and the size of each file are bounded by `prlimit`, where there is one.
 */
import { existsSync, readFileSync } from "node:fs"
import { mkdir, realpath } from "node:fs/promises"
import { homedir } from "node:os"
import { dirname, join } from "node:path"
import { Effect, Schema } from "effect"
import { execa } from "execa"
import type { Limits } from "../limits.ts"
import { ExecutorFailed } from "./executor.ts"
import type { Program } from "./guarded.ts"
import { ExecutorRefused, type ExecutorHost } from "./kind.ts"
import { toldOf } from "./told.ts"

/** Settings of every executor that runs programs of others. */
export const confinementFields = {
  /** `auto`: what this system has. `none`: nothing is hidden from it. */
  sandbox: Schema.optionalKey(Schema.Literals(["auto", "none"])),
  /** Names of variables of the runtime's environment that it gets. */
  env: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Absolute paths that it may read. */
  readable: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Absolute paths that it may read and write: an agent's own configuration, say. */
  writable: Schema.optionalKey(Schema.Array(Schema.String)),
  /** Whether it has the network. Then it also reaches what listens on this machine's loopback. */
  network: Schema.optionalKey(Schema.Boolean),
}
const Confinement = Schema.Struct(confinementFields)
export type Confinement = typeof Confinement.Type

export interface Sandbox {
  /** "bwrap", "sandbox-exec", "no sandbox" */
  readonly name: string
  /** The program that runs `argv` in `folder`, confined. Its HOME goes with the clone if no other is given. */
  readonly confine: (
    argv: readonly [string, ...string[]],
    folder: string,
    own?: string,
  ) => Effect.Effect<Program, ExecutorFailed>
}

/** S1. */
export const openSandbox = Effect.fnUntraced(function* (
  settings: Confinement,
  host: ExecutorHost,
): Effect.fn.Return<Sandbox, ExecutorRefused> {
  const kind = settings.sandbox === "none" ? none : yield* findKind(host)
  if (kind === none)
    host.warn(
      `${host.wizard}: its executor runs without a sandbox: it can read and write all that this user can, keys too`,
    )
  const prlimit = yield* Effect.promise(() => works(["prlimit", "--version"], host))
  return {
    name: kind.name,
    confine: (argv, folder, own = `${folder}.home`) =>
      Effect.tryPromise({
        try: async () => {
          await mkdir(own, { recursive: true, mode: 0o700 })
          const inside = prlimit === undefined ? [...limited(host.limits), ...argv] : argv
          const [file = "", ...args] = kind.wrap(inside, {
            home: dirname(host.guards),
            folder: await realpath(folder),
            own: await realpath(own),
            objects: objectsOf(folder),
            settings,
          })
          return { file, args, cwd: folder, env: envOf(settings, host, own) }
        },
        catch: (error) => new ExecutorFailed({ kind: "retryable", reason: `it cannot be confined (${toldOf(error)})` }),
      }),
  }
})

interface Kind {
  readonly name: string
  readonly wrap: (argv: readonly string[], place: Place) => readonly string[]
}

interface Place {
  /** The runtime's; for a deny-list. */
  readonly home: string
  readonly folder: string
  /** Its HOME, which goes with the clone. */
  readonly own: string
  /** Objects that the clone borrows. */
  readonly objects: readonly string[]
  readonly settings: Confinement
}

const none: Kind = { name: "no sandbox", wrap: (argv) => argv }

const findKind = Effect.fnUntraced(function* (host: ExecutorHost): Effect.fn.Return<Kind, ExecutorRefused> {
  const kind = process.platform === "darwin" ? seatbelt : bubblewrap
  const place: Place = { home: dirname(host.guards), folder: "/tmp", own: "/tmp", objects: [], settings: {} }
  const fault = yield* Effect.promise(() => works(kind.wrap(["true"], place), host))
  if (fault === undefined) return kind
  return yield* new ExecutorRefused({
    reason:
      `${host.wizard}: its executor runs programs of others, and there is no sandbox for them: ${kind.name} does not work here (${fault}). ` +
      `Install it (apt install bubblewrap), or say "sandbox": "none" in the settings, which lets them read and write all that this user can, keys too`,
  })
})

/** Undefined, or why not. */
const works = async (argv: readonly string[], { env }: Pick<ExecutorHost, "env">): Promise<string | undefined> => {
  const [file = "", ...args] = argv
  const result = await execa(file, args, {
    reject: false,
    timeout: probeMsMax,
    stdin: "ignore",
    extendEnv: false,
    env: { PATH: env["PATH"] },
  })
  return result.failed ? toldOf(result.stderr.trim() || result.shortMessage).slice(0, 300) : undefined
}

const probeMsMax = 10_000

const system = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store"]
/** Nothing of /etc that is for root alone. */
const etc = [
  "alternatives",
  "ca-certificates",
  "group",
  "hosts",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "nsswitch.conf",
  "passwd",
  "pki",
  "resolv.conf",
  "ssl",
].map((name) => `/etc/${name}`)

const bubblewrap: Kind = {
  name: "bwrap",
  wrap: (argv, { folder, own, objects, settings }) => [
    "bwrap",
    ...apart,
    ...(settings.network === true ? [] : ["--unshare-net"]),
    ...[...system, ...etc].flatMap((path) => ["--ro-bind-try", path, path]),
    ...[...objects, ...(settings.readable ?? [])].flatMap((path) => ["--ro-bind", path, path]),
    ...[...(settings.writable ?? []), folder, own].flatMap((path) => ["--bind", path, path]),
    "--chdir",
    folder,
    "--",
    ...argv,
  ],
}

const apart =
  "--unshare-user-try --unshare-ipc --unshare-pid --unshare-uts --unshare-cgroup-try --die-with-parent --new-session --cap-drop ALL --proc /proc --dev /dev --tmpfs /tmp --dir /run".split(
    " ",
  )

/** Not tried on macOS. */
const seatbelt: Kind = {
  name: "sandbox-exec",
  wrap: (argv, { home, folder, own, objects, settings }) => {
    const paths = (list: readonly string[]): string => list.map((path) => `(subpath ${JSON.stringify(path)})`).join(" ")
    const written = [folder, own, ...(settings.writable ?? [])]
    const hidden = [homedir(), home, "/Users", "/private/tmp", "/private/var/folders"]
    const rules = [
      "(version 1)",
      "(allow default)",
      `(deny file-read* file-write* ${paths(hidden)})`,
      `(deny file-write* (subpath "/"))`,
      `(allow file-write* (literal "/dev/null") (literal "/dev/tty") ${paths(written)})`,
      `(allow file-read* ${paths([...written, ...objects, ...(settings.readable ?? [])])})`,
      settings.network === true ? "(deny network-outbound (remote unix-socket))" : "(deny network*)",
    ]
    return ["sandbox-exec", "-p", rules.join(""), ...argv]
  },
}

/** S2. */
const limited = ({ executorMemoryBytesMax, executorFileBytesMax }: Limits): readonly string[] => [
  "prlimit",
  `--data=${executorMemoryBytesMax}`,
  `--fsize=${executorFileBytesMax}`,
  "--core=0",
  "--",
]

/** Where the clone's `objects/info/alternates` points. */
const objectsOf = (folder: string): readonly string[] => {
  const file = join(folder, ".git/objects/info/alternates")
  if (!existsSync(file)) return []
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((path) => path.startsWith("/") && existsSync(path))
}

/** All that it gets: how to find programs, a home of its own, and what the settings name. */
const envOf = (
  { env: names = [] }: Confinement,
  host: ExecutorHost,
  own: string,
): Readonly<Record<string, string>> => ({
  PATH: host.env["PATH"] ?? `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
  LANG: "C.UTF-8",
  HOME: own,
  TMPDIR: process.platform === "darwin" ? own : "/tmp",
  ...Object.fromEntries(names.flatMap((name) => (host.env[name] === undefined ? [] : [[name, host.env[name]]]))),
})
