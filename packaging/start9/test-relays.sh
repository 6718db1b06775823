#!/bin/bash
# The action "test relays": `volley test`, as StartOS shows it.
set -u
data=${START9_DATA:-/data}
text=$(volley test -c "$data/volley.yaml" 2>&1)
status=$?
[ $status -le 1 ] || { echo "$text" >&2 && exit 1; } # 1: some relay can't be reached, which is a result
jq -n --arg text "$text" '{version: "0", message: $text, value: null, copyable: true, qr: false}'
