# Processes in the background, each in a group of its own, all of them gone in the end.
# shellcheck shell=bash

# Process groups that were started and not stopped yet.
STARTED=()

# start NAME COMMAND...: runs it in the background; its output goes to $WORK/NAME.log.
start() {
    local name=$1
    shift
    setsid "$@" >"$WORK/$name.log" 2>&1 </dev/null &
    LAST_PID=$!
    STARTED+=("$LAST_PID")
}

# wait_for NAME PID COMMAND...: until the command succeeds, the process ends, or 30 s are over.
wait_for() {
    local name=$1 pid=$2 tries
    shift 2
    BLAME=$WORK/$name.log
    for ((tries = 0; tries < 300; tries++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        if ! kill -0 "$pid" 2>/dev/null; then fail "$name ended as soon as it was started"; fi
        sleep 0.1
    done
    fail "$name did not get ready within 30 s"
}

answers() {
    curl --silent --fail --noproxy '*' --max-time 2 --output /dev/null "$1"
}

# The processes whose command line names our folder: container shims detach from us.
strays() {
    local line
    for line in /proc/[0-9]*/cmdline; do
        if grep -qasF "$WORK/" "$line"; then
            line=${line#/proc/}
            echo "${line%/cmdline}"
        fi
    done
}

any_alive() {
    local pid
    for pid in "$@"; do
        if kill -0 -- "-$pid" 2>/dev/null; then return 0; fi
    done
    return 1
}

# Asks every group to end, waits 10 s at most, and then insists.
stop_all() {
    local pid tries
    for pid in "${STARTED[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
    for ((tries = 0; tries < 100; tries++)); do
        if ! any_alive "${STARTED[@]}"; then break; fi
        sleep 0.1
    done
    for pid in "${STARTED[@]}"; do kill -KILL -- "-$pid" 2>/dev/null || true; done
    for pid in $(strays); do kill -KILL "$pid" 2>/dev/null || true; done
    STARTED=()
}

# Takes down what is mounted below a folder, the last first.
unmount_below() {
    local mount
    awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | tac |
        while read -r mount; do umount --lazy "$mount" || true; done
}

# free_ports N: so many ports of loopback that nobody listens on, TCP or UDP.
free_ports() {
    local wanted=$1 port taken
    taken=" $(ss -Hltnu | awk '{ sub(/.*:/, "", $5); print $5 }' | tr '\n' ' ')"
    while ((wanted > 0)); do
        port=$((20000 + RANDOM % 12000))
        if [[ $taken != *" $port "* ]]; then
            taken+="$port "
            wanted=$((wanted - 1))
            echo "$port"
        fi
    done
}
