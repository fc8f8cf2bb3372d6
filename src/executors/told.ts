/** What went wrong, as it may be published: of a path only its end is anybody's business. */
export const toldOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll(/(?:\/[^\s/'":]+)+\/([^\s/'":]*)/g, "…/$1")
