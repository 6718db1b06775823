#!/bin/bash
# StartOS hands over a configuration (JSON on stdin): volley.yaml and the password's file are made of it. What is wrong goes to
# stderr, and nothing has changed then. The answer names what this service depends on; StartOS then starts it anew.
set -eu
umask 077
data=${START9_DATA:-/data}
mkdir -p "$data/start9"
new=$(mktemp -d "$data/start9/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
cat >"$new/config.json"
jq -e . "$new/config.json" >/dev/null || { echo "the configuration is not JSON" >&2 && exit 1; }
jq -j '.password' "$new/config.json" >"$new/token"
# JSON is YAML. StartOS puts its proxies in front, which pass on the addresses people type as Host.
jq --arg token "$data/token" --arg queue "$data/queue" '
  def host: select(. != null and . != "") | sub("^[a-z]+://"; "") | sub("[:/].*$"; "");
  {
    ingest: { listen: ["0.0.0.0:7787"], allow_pubkeys: .pubkeys },
    queue: { data_dir: $queue, retention: "\(.retention)d", max_bytes: "\(."max-gib")GiB" },
    publisher: { relays: .relays, route: .route, family: .family, verbose: (if .verbose then "yes" else "no" end) },
    probe: { listen: ["127.0.0.1:7789", "0.0.0.0:7788"], admin_token_file: $token,
             hosts: [(."dashboard-tor-address", ."dashboard-lan-address") | host] }
  }' "$new/config.json" >"$new/volley.yaml"
volley check --print -c "$new/volley.yaml" >/dev/null 2>"$new/errors" || { sed "s|$new/||; s|^volley check: ||" "$new/errors" >&2 && exit 1; }
mv "$new/token" "$data/token"
mv "$new/volley.yaml" "$data/volley.yaml"
mv "$new/config.json" "$data/start9/config.json"
echo '{"depends-on": {}}'
