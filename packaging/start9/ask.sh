# Sourced: `ask PATH` prints the body of the probe's answer, on the address that only this container reaches; its status is 0
# for 200, 1 for another answer and 2 for none.
ask() {
    local status line
    exec 3<>"/dev/tcp/127.0.0.1/${START9_PORT:-7789}" || return 2
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
    read -r -t 10 _ status _ <&3 || return 2
    while IFS= read -r -t 10 line <&3 && [ "$line" != $'\r' ]; do :; done
    cat <&3
    exec 3>&-
    [ "$status" = 200 ]
}
