# Our own part: one supernode, and a dfdaemon for each node.
# shellcheck shell=bash

# The registry as both daemons know it; a registry of the user's needs nothing but its name.
registry_config() {
    echo '[[registries.registry]]'
    echo "host = \"$REGISTRY\""
    if [[ -n $ENDPOINT ]]; then
        echo "endpoint = \"$ENDPOINT\""
        echo 'http = true'
        # image-builder and nydusd call it by its address.
        echo '[[registries.registry]]'
        echo "host = \"${ENDPOINT#http://}\""
        echo "endpoint = \"$ENDPOINT\""
        echo 'http = true'
    fi
}

start_supernode() {
    local http=$1 nodes=$2
    say "starting supernode"
    cat >"$WORK/supernode.toml" <<TOML
state_dir = "$WORK/supernode"
[http]
listen = "127.0.0.1:$http"
[nodes]
listen = "127.0.0.1:$nodes"
advertise = ["127.0.0.1:$nodes"]
[store]
quota = "20GiB"
[log]
level = "info"
format = "text"
$(registry_config)
TOML
    BLAME=$WORK/join.log
    JOIN=$("$BIN/supernode" join-string --config "$WORK/supernode.toml" 2>"$BLAME") ||
        fail "supernode made no join string"
    start supernode "$BIN/supernode" --config "$WORK/supernode.toml"
    SUPERNODE_ADMIN=http://127.0.0.1:$http
    wait_for supernode "$LAST_PID" answers "$SUPERNODE_ADMIN/readyz"
}

# start_dfdaemon N: the node's daemon; MIRROR[N] and ADMIN[N] say where it is.
start_dfdaemon() {
    local n=$1 ports
    mapfile -t ports < <(free_ports 3)
    MIRROR[n]=http://127.0.0.1:${ports[0]}
    ADMIN[n]=http://127.0.0.1:${ports[2]}
    cat >"$WORK/dfdaemon$n.toml" <<TOML
state_dir = "$WORK/dfdaemon$n"
node = "node$n"
[mirror]
listen = "127.0.0.1:${ports[0]}"
[peers]
listen = "127.0.0.1:${ports[1]}"
address = "127.0.0.1:${ports[1]}"
[admin]
listen = "127.0.0.1:${ports[2]}"
[local]
socket = "$WORK/dfdaemon$n.sock"
[supernode]
join = "$JOIN"
[log]
level = "info"
format = "text"
$(registry_config)
TOML
    start "dfdaemon$n" "$BIN/dfdaemon" --config "$WORK/dfdaemon$n.toml"
    wait_for "dfdaemon$n" "$LAST_PID" answers "${ADMIN[n]}/readyz"
}

# metric URL NAME: the value of one metric. A metric that is not there is a failure, not a zero.
metric() {
    local page value
    page=$(curl --silent --fail --noproxy '*' "$1/metrics") || fail "$1/metrics does not answer"
    value=$(awk -v name="$2" '$1 == name { print $2; exit }' <<<"$page")
    [[ -n $value ]] || fail "$1/metrics has no $2"
    printf '%.0f\n' "$value"
}

received() {
    metric "${ADMIN[$1]}" "meganeura_dfdaemon_received_bytes_total{source=\"$2\"}"
}
