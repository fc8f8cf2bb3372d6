#!/usr/bin/env node
import module from "node:module"
import { fileURLToPath } from "node:url"

// The one file that must run on any Node: it says what is missing, then hands over. In a clone the sources run as they
// are; in an installed package Node strips no types, so the built files run.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `runtime needs Node 22.19 or newer, this is ${process.versions.node}.\n` +
      "In a clone: npm ci, then npx runtime … (it brings its own Node). Elsewhere: install Node 24.\n",
  )
  process.exit(2)
}
// What was compiled once is kept beside the packages, which halves the time until the first line.
module.enableCompileCache?.(fileURLToPath(new URL("../node_modules/.cache/wizardly-runtime", import.meta.url)))
const installed = import.meta.url.includes("/node_modules/")
await import(installed ? "../dist/src/main.js" : "./main.ts")
