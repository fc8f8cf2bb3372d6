/**
 * How help and misuse are told. Help that was asked for is a result and goes to stdout; everything else goes to stderr,
 * so that what reads our output never reads a complaint. Nothing is asked where nobody sits at a terminal.
 */
import { Effect, Layer } from "effect"
import { CliConfig, CliOutput, GlobalFlag, TerminalCapabilities } from "effect/cli"

const present: CliOutput.Presenter["present"] = Effect.fnUntraced(function* (event) {
  const { canColor } = yield* TerminalCapabilities.TerminalCapabilities
  const { _tag: type } = event
  const isAsked = type === "Version" || (type === "Help" && event.reason === "Requested")
  const formatter = CliOutput.defaultFormatter({ colors: canColor && (isAsked || process.stderr.isTTY) })
  show(isAsked, textOf(event, formatter))
})

const textOf = (event: CliOutput.Presenter.Event, formatter: CliOutput.Formatter): string => {
  if ("version" in event) return formatter.formatVersion(event.name, event.version)
  if (!("errors" in event)) return formatter.formatHelpDoc(event.helpDoc)
  return `${formatter.formatErrors(event.errors).trim()}\n\nSee: ${event.commandPath.join(" ")} --help`
}

/** Not by `print` and `say`: what is ours may be coloured. */
const show = (asked: boolean, text: string): void => void (asked ? process.stdout : process.stderr).write(`${text}\n`)

const builtIns = (): CliConfig.CliConfig.Service["builtIns"] =>
  process.stdin.isTTY && process.stdout.isTTY
    ? [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Wizard, GlobalFlag.Completions]
    : [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions]

export const usageLayer = (): Layer.Layer<never> =>
  Layer.merge(CliOutput.layerPresenter({ present }), CliConfig.layer({ builtIns: builtIns() }))
