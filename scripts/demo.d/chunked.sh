# The second part: the image as a chunked one, checked against the first, entry by entry.
# shellcheck shell=bash

# builder NAME ARGUMENTS...: image-builder in the background, so that an interruption need not wait.
builder() {
    local name=$1
    shift
    start "$name" "$BIN/image-builder" "$@"
    BLAME=$WORK/$name.log
    wait "$LAST_PID" || fail "image-builder $1 failed"
}

# What follows a label in what convert says.
told() {
    awk -v label="$2" 'index($0, label) { print $NF; exit }' "$WORK/$1.log"
}

chunked() {
    local source=${ENDPOINT#http://}/demo/software:v1 target began changed
    target=$source-chunked
    say "turning it into a chunked image, which can be mounted before it has arrived"
    began=$(date +%s%N)
    builder convert convert "$source" "$target" --build-cache-tag cache --work-dir "$WORK"
    note "converted in $(seconds "$began" "$(date +%s%N)") s: $(grep -m1 ' became ' "$WORK/convert.log")"
    note "merkle root $(told convert 'merkle root')"

    began=$(date +%s%N)
    builder check check "$target" --against "$source"
    note "checked in $(seconds "$began" "$(date +%s%N)") s: every chunk, and every entry against the ordinary image"

    began=$(date +%s%N)
    builder again convert "$source" "$target-again" --build-cache-tag cache --work-dir "$WORK"
    changed=$(seconds "$began" "$(date +%s%N)")
    [[ $(told again 'merkle root') == "$(told convert 'merkle root')" ]] || fail "the root is another one"
    note "once more, from the build cache, in $changed s: $(grep -m1 'build cache' "$WORK/again.log")"
}
