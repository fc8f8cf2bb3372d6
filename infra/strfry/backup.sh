#!/usr/bin/env bash
# All events of the running strfry as gzipped JSON lines, the newest KEEP of them kept. Restore: README.md.
#
#   backup.sh [FOLDER]     default ./backup; KEEP=14; EXPORT the command that writes the events
#
# The export runs inside strfry's own container: LMDB knows its readers by process id, and those of another container
# mean nothing to it. It sees one moment of the database, and the relay goes on meanwhile.
set -euo pipefail

cd "$(dirname "$0")"
folder=${1:-backup}
keep=${KEEP:-14}
export_events=${EXPORT:-docker compose exec -T strfry /app/strfry export}

mkdir -p "$folder"
chmod 700 "$folder"
umask 077
name="$folder/strfry-$(date -u +%Y%m%dT%H%M%SZ).jsonl.gz"
trap 'rm -f "$name.part"' EXIT

# shellcheck disable=SC2086 # a command and its words
$export_events | gzip >"$name.part"
# A broken or empty export takes no old one's place.
gzip -t "$name.part"
[ "$(gzip -dc "$name.part" | head -c 1)" = "{" ] || {
  echo "backup: strfry exported nothing; the older backups are kept" >&2
  exit 1
}
sync "$name.part"
mv "$name.part" "$name"

# Names sort by date.
find "$folder" -maxdepth 1 -name 'strfry-*.jsonl.gz' | sort -r | tail -n "+$((keep + 1))" | xargs -r rm -f --
echo "$name"
