#!/bin/bash
# `make run` without volley.yaml: practice relays on loopback, the whole pipeline, a thousand events of mixed kinds.
# With an argument it ends by itself, and exits 0 only if every event settled as it should.
set -eu
cd "$(dirname "$0")/../.."
once=${1:-}
count=1000
run=$(mktemp -d "${TMPDIR:-/tmp}/volley-run.XXXXXX")
pids=()
finish() {
    status=$?
    trap - EXIT INT TERM
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    rm -rf "$run"
    exit $status
}
trap finish EXIT
trap 'echo; echo "stopping"; exit 0' INT TERM

# Ten relays, most of them well-behaved. Where loopback has no IPv6 (a container), they make do with IPv4.
relays=(fine4:v4 fine6:v6 dual1:dual dual2:dual dead-ipv6:dead6 no-ipv4:refused4 slow:v4:0:slow=30 limited:v4:0:rate=400
    "picky:dual:0:refuse_every=100 refuse=blocked: not this one" asks-auth:v6:0:auth)
if ! grep -q '^0\{31\}1 ' /proc/net/if_inet6 2>/dev/null; then
    echo "There is no IPv6 on this machine's loopback: all practice relays speak IPv4 only."
    for i in "${!relays[@]}"; do
        relays[i]=$(sed 's/:\(dual\|dead6\)\(:\|$\)/:refused6\2/; s/:\(v6\|refused4\)\(:\|$\)/:v4\2/' <<<"${relays[i]}")
    done
fi
build/release/practice relays --record "$run" --verify "${relays[@]}" >"$run/relays" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
    grep -q '^control' "$run/relays" && break
    sleep 0.05
done
grep -q '^control' "$run/relays" || { cat "$run/relays" >&2; exit 1; }
control=$(awk '/^control/ {print $2}' "$run/relays")

printf '0000000000000000000000000000000000000000000000000000000000000007\n' >"$run/auth.key"
chmod 600 "$run/auth.key"
free_port() { # or another one
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        echo "port $1 is taken (is another volley running?); taking another" >&2
        echo $((20000 + RANDOM % 20000))
    else
        echo "$1"
    fi
}
port=$(free_port 7787)
probe=$(free_port 7788)
{
    echo "ingest:"
    echo "  listen: 127.0.0.1:$port"
    echo "probe:"
    echo "  listen: 127.0.0.1:$probe"
    echo "queue:"
    echo "  data_dir: $run/data"
    echo "publisher:"
    echo "  route: direct"
    echo "  auth_key_file: $run/auth.key"
    echo "  relays:"
    awk '/^relay/ {print "    - { url: \"" $3 "\", name: " $2 " }"}' "$run/relays"
} >"$run/volley.yaml"

echo "No volley.yaml here: this is volley on practice relays of this machine; nothing leaves it."
build/volley up -c "$run/volley.yaml" &
volley=$!
pids+=($volley)
volley() { build/volley "$1" -c "$run/volley.yaml" "${@:2}"; }
for _ in $(seq 200); do
    kill -0 $volley 2>/dev/null || exit 1
    volley depth --json 2>/dev/null | grep -c '"relay"' | grep -q '^10$' && break
    sleep 0.1
done

echo
echo "Posting $count signed events of mixed kinds to ws://127.0.0.1:$port …"
build/release/practice post "ws://127.0.0.1:$port" --count $count --mix --window 100 --out "$run/posted" >"$run/post" &
post=$!
for i in $(seq 120); do
    sleep 1
    volley depth
    echo
    if ! kill -0 $post 2>/dev/null && volley depth --json | tail -1 | grep -q '"depth":0,'; then
        break
    fi
done
wait $post || { echo "not every event was accepted:"; cat "$run/post"; exit 1; }
cat "$run/post"

# What the relays say they have, against what volley says it delivered.
ask() { exec 3<>"/dev/tcp/127.0.0.1/$control" && echo list >&3 && sed '/^\.$/q' <&3; exec 3>&-; }
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
wrong=0
while read -r _ name url; do
    row=$(volley depth --relay "$name" --json | head -1)
    delivered=$(number delivered <<<"$row") failed=$(number failed <<<"$row") skipped=$(number skipped <<<"$row")
    waiting=$(number depth <<<"$row")
    got=$(ask | grep "\"name\":\"$name\"" | number unique)
    want_failed=0
    [ "$name" = picky ] && want_failed=$failed
    if [ $((delivered + failed + skipped)) -ne $count ] || [ "$waiting" -ne 0 ] || [ "$got" -ne "$delivered" ] || [ "$failed" -ne "$want_failed" ]; then
        echo "relay $name: accepted $count, delivered $delivered, skipped $skipped, failed $failed, waiting $waiting; the relay has $got" >&2
        wrong=1
    fi
done < <(grep '^relay' "$run/relays")
if [ $wrong -ne 0 ]; then
    echo "something did not settle as it should" >&2
    exit 1
fi
echo "All $count events settled at all 10 relays: delivered, skipped because a newer version took their place, or refused by the relay that was told to."
if [ -n "$once" ]; then
    exit 0
fi
cat <<END

volley keeps serving. Ctrl-C stops it.
  post an event:       any Nostr client or tool, to ws://127.0.0.1:$port
  the dashboard:       http://127.0.0.1:$probe
  see the queues:      build/volley depth -c $run/volley.yaml
  one event's fate:    build/volley receipt ID -c $run/volley.yaml
  your own relays:     cp volley.example.yaml volley.yaml, put them under publisher.relays, make run
END
wait $volley
