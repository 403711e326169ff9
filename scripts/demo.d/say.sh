# What the demo tells people: headlines, failures with the log that explains them, numbers.
# shellcheck shell=bash

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
    BOLD='' GREEN='' RED='' PLAIN=''
fi

# The log that explains a failure of what is being done now; every part sets it.
# shellcheck disable=SC2034
BLAME=

say() {
    printf '%s==>%s %s\n' "$GREEN$BOLD" "$PLAIN" "$*"
}

note() {
    printf '    %s\n' "$*"
}

# Ends the demo: what went wrong, and the last lines of the log that says why.
fail() {
    printf '%sdemo: %s%s\n' "$RED$BOLD" "$*" "$PLAIN" >&2
    if [[ -n $BLAME && -s $BLAME ]]; then
        printf 'the last lines of %s:\n' "${BLAME##*/}" >&2
        # Without colours, and without the progress bars of ctr.
        sed -E 's/\x1b\[[0-9;]*m//g' "$BLAME" | grep -vaE '\| *$|^elapsed: ' | tail -n 20 |
            sed 's/^/    | /' >&2
    fi
    exit 1
}

# 262144000 -> 262.1 MB
megabytes() {
    awk -v bytes="$1" 'BEGIN { printf bytes == 0 ? "-" : "%.1f MB", bytes / 1e6 }'
}

# 0.1 s steps, from nanoseconds
seconds() {
    awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", (to - from) / 1e9 }'
}
