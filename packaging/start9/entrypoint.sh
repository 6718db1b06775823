#!/bin/bash
# The service itself. It is not started before it was configured.
set -eu
data=${START9_DATA:-/data}
if [ ! -s "$data/volley.yaml" ]; then
    echo "not configured yet: set whose events are taken, and the relays" >&2
    exit 1
fi
exec volley up -c "$data/volley.yaml" "$@"
