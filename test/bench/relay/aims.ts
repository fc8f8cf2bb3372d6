/** The aims of the relay's order, judged by the rows of this run and by nothing else. They hold for two cores. */
import { type Aim, figure, oursName, type Row } from "./report.ts"

export const aims = (rows: readonly Row[], storedEvents: number): readonly Aim[] => {
  const value = (section: string, measure: string, relay: string): number | undefined => {
    const found = rows.find((row) => row.section === section && row.measure === measure)?.values[relay]
    return typeof found === "number" && !Number.isNaN(found) ? found : undefined
  }
  const publishing = ["1 connection", "50 connections"]
  const rate = (measure: string, relay: string): number | undefined => value("publish", measure, relay)
  const atLeast = (text: string, least: number, got: number | undefined, measure: string, unit: string): Aim => ({
    text: `${text}, ${measure}`,
    reached: got === undefined ? undefined : got >= least,
    measured: got === undefined ? "not measured" : `${figure(got)}${unit}`,
  })
  const times = (measure: string, relay: string): number | undefined => {
    const [ours, theirs] = [rate(measure, oursName), rate(measure, relay)]
    return ours === undefined || theirs === undefined || theirs === 0 ? undefined : ours / theirs
  }
  const fan = (relay: string): number | undefined => value("fan-out", "20 subscribers, p50", relay)
  const [ours, nothing] = [fan(oursName), fan("null")]
  const slower = ours === undefined || nothing === undefined ? undefined : ours / nothing
  const first = value("REQ", "500 events, first", oursName)
  return [
    ...publishing.map((measure) => atLeast("≥ 4,000 durable OK/s", 4000, rate(measure, oursName), measure, "/s")),
    ...publishing.map((measure) =>
      atLeast("≥ 2.5× nostr-rs-relay", 2.5, times(measure, "nostr-rs-relay"), measure, "×"),
    ),
    ...publishing.map((measure) =>
      atLeast("≥ 12× @nostr-relay/core", 12, times(measure, "@nostr-relay/core"), measure, "×"),
    ),
    {
      text: "fan-out p50 to 20 subscribers ≤ 2.5× the null server's",
      reached: slower === undefined ? undefined : slower <= 2.5,
      measured: slower === undefined ? "not measured" : `${figure(slower)}×`,
    },
    {
      text: "first events of a REQ within 5 ms, a million events stored",
      reached: first === undefined || storedEvents < 1_000_000 ? undefined : first <= 5,
      measured:
        first === undefined
          ? "not measured"
          : `${figure(first)} ms with ${storedEvents} stored${storedEvents < 1_000_000 ? " (--events 1000000 tells)" : ""}`,
    },
  ]
}
