# The origin: a real registry, whose access log says what it had to send.
# shellcheck shell=bash

start_registry() {
    local port=$1
    say "starting docker-registry and pushing the image to it"
    cat >"$WORK/registry.yml" <<YML
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: $WORK/registry}
http: {addr: "127.0.0.1:$port"}
YML
    start registry docker-registry serve "$WORK/registry.yml"
    wait_for registry "$LAST_PID" answers "http://127.0.0.1:$port/v2/"

    BLAME=$WORK/push.log
    skopeo --insecure-policy copy --dest-tls-verify=false "oci:$LAYOUT:demo" \
        "docker://127.0.0.1:$port/demo/software:v1" >"$BLAME" 2>&1 || fail "the push failed"
    # What was pushed is no egress: counting starts here.
    PUSHED_LINES=$(wc -l <"$WORK/registry.log")
}

# Access log lines since the push: only GETs of blobs and manifests, as `status bytes path`.
served() {
    tail -n "+$((PUSHED_LINES + 1))" "$WORK/registry.log" |
        awk '$6 == "\"GET" && $7 ~ /^\/v2\/.*\/(blobs|manifests)\// { print $9, $10, $7 }'
}

# The bytes that the registry sent.
egress() {
    served | awk '$1 ~ /^2/ && $2 ~ /^[0-9]+$/ { bytes += $2 } END { print bytes + 0 }'
}

# How often a blob was asked for.
blob_requests() {
    served | awk '$3 ~ /\/blobs\// { count++ } END { print count + 0 }'
}
