#!/bin/bash
# StartOS' properties: the probe's own, then the addresses and the password that StartOS and its owner gave.
set -u
here=$(dirname "$0")
data=${START9_DATA:-/data}
. "$here/ask.sh"
ask /properties 2>/dev/null || { echo "volley does not answer; is the service running?" >&2 && exit 1; }
jq -r '
  def put($name; $value; $description; $masked):
    "  \($name | tojson):\n    type: string\n    value: \($value | tojson)\n    description: \($description | tojson)\n    copyable: true\n    qr: false\n    masked: \($masked)";
  (."tor-address" | select(. != null and . != "") | put("Relay (Tor)"; "ws://" + .; "For your clients, or Haven\u0027s blastr"; false)),
  (."lan-address" | select(. != null and . != "") | put("Relay (LAN)"; "wss://" + .; "For your clients on your network"; false)),
  put("Dashboard password"; .password; "Any user name goes with it"; true)' "$data/start9/config.json"
