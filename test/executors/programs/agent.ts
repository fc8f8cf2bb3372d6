/**
 * A real agent of the Agent Client Protocol, written with its SDK's agent side: it does what the prompt says, a line at a
 * time, and remembers its sessions in its HOME.
 *
 *   write FILE TEXT · say TEXT · ask TITLE (and writes `asked.txt` with the answer) · recall · sleep · die · stop REASON
 */
import { spawn } from "node:child_process"
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { agent, methods, ndJsonStream, type AgentContext, type StopReason } from "@agentclientprotocol/sdk"

const memory = join(homedir(), "sessions")
mkdirSync(memory, { recursive: true })
const folders = new Map<string, string>()
const cancelled = new Map<string, () => void>()

const remember = (session: string, text: string): void => appendFileSync(join(memory, session), `${text}\n`)

const act = async (client: AgentContext, sessionId: string, line: string): Promise<StopReason | undefined> => {
  const [verb = "", ...rest] = line.split(" ")
  const text = rest.join(" ")
  const folder = folders.get(sessionId) ?? ""
  const say = (words: string): Promise<void> =>
    client.notify(methods.client.session.update, {
      sessionId,
      update: { sessionUpdate: "agent_message_chunk", content: { type: "text", text: words } },
    })
  if (verb === "say") await say(text)
  if (verb === "write") {
    await client.notify(methods.client.session.update, {
      sessionId,
      update: {
        sessionUpdate: "tool_call",
        toolCallId: "1",
        title: `write ${rest[0]}`,
        kind: "edit",
        status: "completed",
      },
    })
    writeFileSync(join(folder, rest[0] ?? ""), `${rest.slice(1).join(" ")}\n`)
  }
  if (verb === "ask") {
    const { outcome } = await client.request(methods.client.session.requestPermission, {
      sessionId,
      toolCall: { toolCallId: "2", title: text, rawInput: { command: "rm -rf dist" } },
      options: [
        { optionId: "yes", name: "Allow", kind: "allow_once" },
        { optionId: "always", name: "Always", kind: "allow_always" },
        { optionId: "no", name: "Reject", kind: "reject_once" },
      ],
    })
    writeFileSync(join(folder, "asked.txt"), `${outcome.outcome === "selected" ? outcome.optionId : outcome.outcome}\n`)
  }
  if (verb === "recall") await say(readFileSync(join(memory, sessionId), "utf8").trim().split("\n").join(" | "))
  if (verb === "sleep") {
    spawn("sleep", ["600"], { detached: true, stdio: "ignore" }).unref()
    await say("sleeping")
    await new Promise<void>((resolve) => cancelled.set(sessionId, resolve))
    return "cancelled"
  }
  if (verb === "die") {
    process.stderr.write("out of wands\n")
    process.exit(7)
  }
  return verb === "stop" ? (text as StopReason) : undefined
}

agent({ name: "tests" })
  .onRequest(methods.agent.initialize, () => ({
    protocolVersion: 1,
    agentCapabilities: { loadSession: true, sessionCapabilities: { resume: {} } },
  }))
  .onRequest(methods.agent.session.new, ({ params }) => {
    const sessionId = `s${process.pid}-${process.hrtime.bigint()}`
    folders.set(sessionId, params.cwd)
    remember(sessionId, "begun")
    return { sessionId }
  })
  .onRequest(methods.agent.session.resume, ({ params }) => {
    if (!existsSync(join(memory, params.sessionId))) throw new Error("no such session")
    folders.set(params.sessionId, params.cwd)
    return {}
  })
  .onRequest(methods.agent.session.prompt, async ({ params: { sessionId, prompt }, client }) => {
    const text = prompt.map((block) => (block.type === "text" ? block.text : "")).join("\n")
    remember(sessionId, text.replaceAll("\n", " "))
    for (const line of text.split("\n")) {
      const stopReason = await act(client, sessionId, line)
      if (stopReason !== undefined) return { stopReason }
    }
    return { stopReason: "end_turn" }
  })
  .onNotification(methods.agent.session.cancel, ({ params }) => cancelled.get(params.sessionId)?.())
  .connect(
    ndJsonStream(
      Writable.toWeb(process.stdout) as WritableStream<Uint8Array>,
      Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>,
    ),
  )
