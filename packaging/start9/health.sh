#!/bin/bash
# StartOS' health check: 0 is well; 60 starting; 61 starting, with what is waited for; else not well, with the reason on stderr.
# On stdin: for how many milliseconds the service has run. Tor needs its time before relays can be reached.
. "$(dirname "$0")/ask.sh"
read -r -t 1 ran_ms || true
[[ ${ran_ms:-} =~ ^[0-9]{1,15}$ ]] || ran_ms=999999
said=$(ask /healthz 2>/dev/null)
case $? in
    0) exit 0 ;;
    1)
        echo "$said" >&2
        [ "$ran_ms" -ge 120000 ] || exit 61
        exit 1
        ;;
    *) echo "volley is starting" >&2 && exit 60 ;;
esac
