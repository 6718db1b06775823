#!/bin/bash
# StartOS' health check: 0 is well; 60 starting; else not well, with the reason on stderr.
. "$(dirname "$0")/ask.sh"
said=$(ask /healthz 2>/dev/null)
case $? in
    0) exit 0 ;;
    1) echo "$said" >&2 && exit 1 ;;
    *) echo "volley is starting" >&2 && exit 60 ;;
esac
