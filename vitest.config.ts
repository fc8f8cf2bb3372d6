import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: "forks",
    maxWorkers: 2,
    // fast-check prints the seed of a failure; nothing here depends on the order of files.
    sequence: { shuffle: false },
  },
})
