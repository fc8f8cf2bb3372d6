import { defineConfig } from "vitest/config"

/** Where CI wants the runner's own report. */
const reportFile = process.env["TEST_REPORT"]

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: "forks",
    maxWorkers: 2,
    // fast-check prints the seed of a failure; nothing here depends on the order of files.
    sequence: { shuffle: false },
    reporters: reportFile === undefined ? ["default"] : ["default", ["json", { outputFile: reportFile }]],
  },
})
