# A containerd for each node: its own root, state and socket, nothing shared with the system's.
# shellcheck shell=bash

# The address that stands for the registry itself. Nobody listens there: a pull that does not
# come through the mirror fails, and does not quietly succeed.
NOWHERE=http://127.0.0.1:1

# Also the cgroup that its containers are in.
NAMESPACE=meganeura-demo
CONTAINER=demo-$$
RUNS_ON=

node_ctr() {
    local n=$1
    shift
    ctr --address "$WORK/containerd$n/sock" --namespace "$NAMESPACE" "$@"
}

# start_containerd N MIRROR: a containerd whose only way to the registry is the mirror.
start_containerd() {
    local n=$1 mirror=$2 home=$WORK/containerd$1
    mkdir -p "$home/hosts.d/$REGISTRY"
    cat >"$home/hosts.d/$REGISTRY/hosts.toml" <<TOML
server = "$NOWHERE"
[host."$mirror"]
capabilities = ["pull", "resolve"]
TOML
    cat >"$home/config.toml" <<TOML
version = 2
root = "$home/root"
state = "$home/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "$home/sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$home/opt"
TOML
    start "containerd$n" containerd --config "$home/config.toml"
    wait_for "containerd$n" "$LAST_PID" node_ctr "$n" version
    SNAPSHOTTER=overlayfs
    # Where the folder lies on an overlay itself, as in a container, layers are copied instead.
    if ! node_ctr "$n" plugins ls | grep -q 'overlayfs .* ok'; then SNAPSHOTTER=native; fi
}

# One node's pull, with its time, in nanoseconds since 1970, beside its log.
pull() {
    local n=$1
    date +%s%N >"$WORK/pull$n.from"
    node_ctr "$n" images pull --snapshotter "$SNAPSHOTTER" \
        --hosts-dir "$WORK/containerd$n/hosts.d" "$REFERENCE" >"$WORK/pull$n.log" 2>&1
    date +%s%N >"$WORK/pull$n.to"
}

# All nodes at once.
pull_everywhere() {
    local n pids=()
    say "$NODES nodes pull $REFERENCE at once, each with its own containerd"
    for ((n = 1; n <= NODES; n++)); do
        pull "$n" &
        pids[n]=$!
    done
    for ((n = 1; n <= NODES; n++)); do
        BLAME=$WORK/pull$n.log
        if ! wait "${pids[n]}"; then
            if [[ -s $WORK/dfdaemon$n.log ]]; then
                tail -n 10 "$WORK/dfdaemon$n.log" | sed "s/^/    | dfdaemon$n: /" >&2
            fi
            fail "node$n could not pull"
        fi
    done
}

pull_seconds() {
    seconds "$(cat "$WORK/pull$1.from")" "$(cat "$WORK/pull$1.to")"
}

# ctr says how long it unpacked ("done: 12.3s"); the rest was the download.
download_seconds() {
    local unpack
    unpack=$(sed -nE 's/^done: //p' "$WORK/pull$1.log" | tail -n 1)
    awk -v whole="$(pull_seconds "$1")" -v unpack="$unpack" 'BEGIN {
        time = unpack + 0
        if (unpack ~ /ms/) time /= 1000
        if (unpack ~ /m[0-9]/) { split(unpack, part, "m"); time = part[1] * 60 + part[2] }
        printf "%.1f", (whole > time) ? whole - time : 0 }'
}

content() {
    echo "$WORK/containerd$1/root/io.containerd.content.v1.content/blobs/sha256"
}

# The bytes of the image as a node has it: manifests, configuration, layers.
image_bytes() {
    stat -c %s "$(content "$1")"/* | awk '{ bytes += $1 } END { print bytes }'
}

image_objects() {
    find "$(content "$1")" -type f | wc -l
}

# Layers and configuration: all but the manifests, which name others.
image_blobs() {
    local file count=0
    for file in "$(content "$1")"/*; do
        if (($(stat -c %s "$file") > 4000000)) ||
            ! jq -e 'has("layers") or has("manifests")' "$file" >/dev/null 2>&1; then
            count=$((count + 1))
        fi
    done
    echo "$count"
}

# Hashes everything that a node's containerd keeps, and compares with the names.
check_content() {
    BLAME=$WORK/check$1.log
    (cd "$(content "$1")" && sha256sum -- * | awk '$1 != $2 { print $2 " is " $1; bad = 1 }
        END { if (NR == 0) print "nothing is there"; exit bad || NR == 0 }') >"$BLAME" 2>&1 ||
        fail "node$1 holds content that is not what its digest says"
}

run_container() {
    local n=$1
    say "running a container from it on node$n"
    RUNS_ON=$n
    # In the background, so that an interruption need not wait for the container. RUN is words.
    # shellcheck disable=SC2086
    start run ctr --address "$WORK/containerd$n/sock" --namespace "$NAMESPACE" run --rm \
        --snapshotter "$SNAPSHOTTER" "$REFERENCE" "$CONTAINER" ${RUN:-}
    BLAME=$WORK/run.log
    wait "$LAST_PID" || fail "the container failed"
    RUNS_ON=
    head -n 12 "$BLAME" | sed 's/^/    | /'
}

# Ends the container if it still runs. `ctr run --rm` then takes its remains away by itself.
stop_container() {
    local tries
    if [[ -n $RUNS_ON ]]; then
        for ((tries = 0; tries < 50; tries++)); do
            if ! kill -0 "$LAST_PID" 2>/dev/null; then break; fi
            node_ctr "$RUNS_ON" tasks kill --signal KILL "$CONTAINER" >/dev/null 2>&1 || true
            sleep 0.1
        done
    fi
    # What the namespace itself has outlives its containers: a group on each hierarchy, a folder.
    rmdir /sys/fs/cgroup/"$NAMESPACE" /sys/fs/cgroup/*/"$NAMESPACE" \
        /run/containerd/runc/"$NAMESPACE" 2>/dev/null || true
}
