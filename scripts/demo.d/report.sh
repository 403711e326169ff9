# The table in the end: who got how many bytes from where, and what that cost the origin.
# shellcheck shell=bash

row() {
    printf '    %-7s %8s %13s %11s %11s %11s %11s %9s\n' "$@"
}

# The bytes by source of one node; without the swarm everything is from the origin.
sources() {
    local source
    if ! $SWARM; then
        printf '%s\n' "$(megabytes "$(image_bytes "$1")")" - - - -
        return
    fi
    for source in origin supernode peer store; do megabytes "$(received "$1" "$source")"; echo; done
    metric "${ADMIN[$1]}" meganeura_dfdaemon_blobs_verified_total
}

node_rows() {
    local n columns
    row node pulled "of it download" origin supernode peers "own store" "verified"
    for ((n = 1; n <= NODES; n++)); do
        # A process substitution would lose a failure.
        sources "$n" >"$WORK/sources$n"
        mapfile -t columns <"$WORK/sources$n"
        row "node$n" "$(pull_seconds "$n") s" "$(download_seconds "$n") s" "${columns[@]}"
    done
}

# What the origin sent: by its own access log where it is ours, else as the supernode counted.
origin_lines() {
    local size=$1 sent by times
    if [[ -n $ENDPOINT ]]; then
        sent=$(egress)
        by="$(blob_requests) blob requests, by the registry's access log"
    else
        sent=$(metric "$SUPERNODE_ADMIN" 'meganeura_supernode_received_bytes_total{source="origin"}')
        by="as the supernode counted"
    fi
    times=$(awk -v sent="$sent" -v size="$size" 'BEGIN { printf "%.2f", sent / size }')
    note "the image:  $(megabytes "$size") in $(image_objects 1) objects"
    note "the origin: sent $(megabytes "$sent") = $BOLD$times images$PLAIN to $NODES nodes ($by)"
}

# Every node's bytes were hashed twice: by the node on the way, by us in containerd's store.
check_verified() {
    local n verified blobs
    for ((n = 1; n <= NODES; n++)); do check_content "$n"; done
    if ! $SWARM; then return; fi
    for ((n = 1; n <= NODES; n++)); do
        verified=$(metric "${ADMIN[n]}" meganeura_dfdaemon_blobs_verified_total)
        BLAME=$WORK/dfdaemon$n.log
        blobs=$(image_blobs "$n")
        ((verified >= blobs)) || fail "node$n verified only $verified of $blobs blobs"
    done
}

report() {
    local size
    say "hashing what each containerd keeps"
    check_verified
    size=$(image_bytes 1)
    say "what happened"
    node_rows
    echo
    origin_lines "$size"
    note "digests:    all $(image_objects 1) objects on each of the $NODES nodes match their SHA-256"
}
