#!/bin/bash
# StartOS asks for the configuration: what was set last (null: nothing yet), and what may be set.
set -eu
here=$(dirname "$0")
data=${START9_DATA:-/data}
config=null
[ -s "$data/start9/config.json" ] && config=$(cat "$data/start9/config.json")
jq -n --argjson config "$config" --slurpfile spec "$here/spec.json" '{config: $config, spec: $spec[0]}'
