# The last part: a container that starts before its image has arrived, and the same by an ordinary pull.
# shellcheck shell=bash

LAZY=4

# The chunked image's program, on top of an overlay: `bundle ROOT` makes what runc runs.
bundle() {
    local at=$WORK/bundle-$2 config
    mkdir -p "$at/rootfs" "$WORK/upper-$2"
    mount -t tmpfs tmpfs "$WORK/upper-$2"
    mkdir "$WORK/upper-$2"/{upper,work}
    mount -t overlay overlay "$at/rootfs" \
        -o "lowerdir=$1,upperdir=$WORK/upper-$2/upper,workdir=$WORK/upper-$2/work"
    (cd "$at" && runc spec)
    config=$(jq '.process.terminal = false | .process.args = ["/usr/local/bin/hello"]
        | .process.env = ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/rust/bin"]
        | .root = {path: "rootfs", readonly: false} | del(.linux.cgroupsPath)' "$at/config.json")
    echo "$config" >"$at/config.json"
}

# first_output NAME: runs the bundle; sets FIRST and LAST, when its first line came and when it was over.
first_output() {
    local line
    BLAME=$WORK/run-$1.log
    start "run-$1" bash -c 'set -o pipefail
        runc --root "$1/runc" run --bundle "$1/bundle-$2" "meganeura-demo-$$" 2>&1 </dev/null |
            while IFS= read -r line; do printf "%s %s\n" "$(date +%s%N)" "$line"; done' \
        run "$WORK" "$1"
    wait "$LAST_PID" || fail "the container failed"
    LAST=$(date +%s%N)
    FIRST=$(awk 'NR == 1 { print $1 }' "$BLAME")
    read -r line < <(cut -d' ' -f2- "$BLAME")
    note "it said: $line"
}

# What came to the node by way of its dfdaemon.
arrived() {
    local source sum=0
    for source in origin supernode peer; do sum=$((sum + $(received "$1" "$source"))); done
    echo "$sum"
}

lazy() {
    local source=${ENDPOINT#http://}/demo/software:v1 began first last size bytes metadata share pulled
    start_dfdaemon "$LAZY"
    mkdir "$WORK/lazy"
    say "a cold node: mounting the chunked image through its dfdaemon, and running a container from it"
    began=$(date +%s%N)
    start nydusd "$BIN/nydusd" mount --foreground --cache-dir "$WORK/nydusd" \
        --dfdaemon "$WORK/dfdaemon$LAZY.sock" "$source-chunked" "$WORK/lazy"
    wait_for nydusd "$LAST_PID" mountpoint -q "$WORK/lazy"
    note "mounted in $(seconds "$began" "$(date +%s%N)") s"
    bundle "$WORK/lazy" lazy
    first_output lazy
    first=$(seconds "$began" "$FIRST")
    last=$(seconds "$began" "$LAST")
    # The bootstrap came straight from the registry; so did what dfdaemon did not have.
    size=$(skopeo inspect --raw --tls-verify=false "docker://$source-chunked" |
        jq '[.layers[].size] | add')
    metadata=$(skopeo inspect --raw --tls-verify=false "docker://$source-chunked" |
        jq '.layers[-1].size')
    bytes=$(($(arrived "$LAZY") + metadata))
    share=$(awk -v part="$bytes" -v whole="$size" 'BEGIN { printf "%.1f %%", 100 * part / whole }')

    say "the same on the same node by an ordinary pull"
    start_containerd "$LAZY" "${MIRROR[LAZY]}"
    began=$(date +%s%N)
    pull "$LAZY" || fail "node$LAZY could not pull"
    mkdir "$WORK/pulled"
    node_ctr "$LAZY" images mount --snapshotter "$SNAPSHOTTER" "$REFERENCE" "$WORK/pulled" >/dev/null
    bundle "$WORK/pulled" pulled
    first_output pulled
    pulled=$(image_bytes "$LAZY")

    say "from nothing to the program's first output"
    row4 "" "first output" "program's end" "fetched" "of the image"
    row4 "mounted lazily" "$first s" "$last s" "$(megabytes "$bytes")" "$share"
    row4 "pulled" "$(seconds "$began" "$FIRST") s" "$(seconds "$began" "$LAST") s" \
        "$(megabytes "$pulled")" "100.0 %"
}

row4() {
    printf '    %-15s %13s %14s %11s %13s\n' "$@"
}
