/**
 * The artifact (kind 30078): what came out of a command at one wizard. A commit, or, for a verb, the text of its answer.
 *
 * It is addressable, so its `d` names command, wizard and number: artifacts of different commands never replace each
 * other. An answer carries its whole text, and is one only if its hash and size agree with it.
 */
import { hash } from "node:crypto"
import { isHex64, tagValue, type EventTemplate, type UnsignedEvent } from "./event.ts"
import { Kind } from "./kinds.ts"

/** Which command, for whom, by whom. */
export interface ArtifactOrigin {
  /** The command's event id. */
  readonly command: string
  /** The public key of the command's author. */
  readonly author: string
  /** The wizard's name. */
  readonly wizard: string
  /** From 1; a command may give several. */
  readonly n: number
}

/** Where a commit is. */
export interface CommitPlace {
  /** The commit's id: 40 hex digits, or 64. */
  readonly commit: string
  readonly repo: string
  readonly branch: string
}

export interface Artifact extends ArtifactOrigin {
  /** The event's id, its signer, and its date in unix seconds. */
  readonly id: string
  readonly pubkey: string
  readonly createdAt: number
  /** SHA-256 of what was made, its MIME type, and its length in bytes. */
  readonly x: string
  readonly m: string
  readonly size: number
  /** Absent where the artifact is the answer to a verb. */
  readonly place?: CommitPlace
  /** A verb's answer; beside a commit, the result's own words. */
  readonly text: string
}

/** The artifact that is a commit. */
export const commitTemplate = (
  fields: ArtifactOrigin & CommitPlace & Pick<Artifact, "x" | "m" | "size" | "text" | "createdAt">,
): EventTemplate => ({
  kind: Kind.artifact,
  created_at: fields.createdAt,
  tags: [
    ...originTags(fields),
    ["commit", fields.commit],
    ["repo", fields.repo],
    ["branch", fields.branch],
    ...contentTags(fields),
  ],
  content: fields.text.toWellFormed(),
})

/** The artifact that is a verb's answer. */
export const answerTemplate = (fields: ArtifactOrigin & Pick<Artifact, "text" | "createdAt">): EventTemplate => ({
  kind: Kind.artifact,
  created_at: fields.createdAt,
  tags: [...originTags(fields), ...contentTags(describeText(fields.text))],
  content: fields.text.toWellFormed(),
})

/** The artifact that an event is, or undefined. Whether its signer may say so is not judged here. */
export const readArtifact = (event: UnsignedEvent): Artifact | undefined => {
  if (event.kind !== Kind.artifact || tagValue(event, "t") !== artifactMark) return undefined
  const [, command, wizard, n] = addressForm.exec(tagValue(event, "d") ?? "") ?? []
  const author = tagValue(event, "p")
  const x = tagValue(event, "x")
  const m = tagValue(event, "m")
  const size = tagValue(event, "size")
  if (command === undefined || wizard === undefined || n === undefined) return undefined
  if (tagValue(event, "e") !== command || !isHex64(author) || !isHex64(x)) return undefined
  if (m === undefined || size === undefined || !/^(0|[1-9]\d{0,14})$/.test(size)) return undefined
  const place = readPlace(event)
  const about = { x, m, size: Number(size) }
  const answer = describeText(event.content)
  if (place === undefined && (m !== answer.m || x !== answer.x || about.size !== answer.size)) return undefined
  if (place === "unreadable") return undefined
  return {
    id: event.id,
    pubkey: event.pubkey,
    createdAt: event.created_at,
    command,
    author,
    wizard,
    n: Number(n),
    ...about,
    ...(place !== undefined && { place }),
    text: event.content,
  }
}

const artifactMark = "artifact"
const addressForm = /^artifact\/([0-9a-f]{64})\/([^/]+)\/([1-9]\d{0,8})$/

const originTags = ({ command, author, wizard, n }: ArtifactOrigin): string[][] => [
  ["d", `artifact/${command}/${wizard}/${n}`],
  ["e", command],
  ["p", author],
  ["t", artifactMark],
]

const contentTags = ({ x, m, size }: Pick<Artifact, "x" | "m" | "size">): string[][] => [
  ["x", x],
  ["m", m],
  ["size", String(size)],
]

const describeText = (text: string): Pick<Artifact, "x" | "m" | "size"> => ({
  x: hash("sha256", text),
  m: "text/plain",
  size: Buffer.byteLength(text),
})

const readPlace = (event: UnsignedEvent): CommitPlace | "unreadable" | undefined => {
  const commit = tagValue(event, "commit")
  if (commit === undefined) return undefined
  const repo = tagValue(event, "repo")
  const branch = tagValue(event, "branch")
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(commit) || repo === undefined || branch === undefined) return "unreadable"
  return { commit, repo, branch }
}
