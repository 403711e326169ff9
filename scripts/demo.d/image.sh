# A real image of several layers, out of the software that is installed on this machine.
# No network: the files are those of the host's own packages, with the libraries that they need.
# shellcheck shell=bash

# What is left out: what a container does not need, and a slim system does not have either.
LEFT_OUT='^/usr/share/(doc|man|info|locale|lintian|bash-completion)/|^/(proc|sys|dev|run|boot|var/cache)/'

# The files of those of the packages that are installed; a name may be a pattern.
files_of_packages() {
    local installed
    mapfile -t installed < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null |
        awk '$1 == "ii" { print $2 }')
    if ((${#installed[@]} == 0)); then return; fi
    dpkg -L "${installed[@]}" | grep '^/' | grep -vE "$LEFT_OUT"
}

# The files behind those of the commands that are there.
files_of_commands() {
    local command path
    for command in "$@"; do
        if path=$(type -P "$command"); then echo "$path"; fi
    done
}

# Adds the shared libraries that the listed programs and libraries load.
with_libraries() {
    local list
    list=$(cat)
    echo "$list"
    # ldd grumbles about what is no program; that is most of the list, and no mistake.
    grep -E '/s?bin/|\.so(\.|$)' <<<"$list" | xargs -r -d '\n' ldd 2>/dev/null |
        awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 && $2 ~ /^\(/ { print $1 }'
}

# Paths as they are on disk (/bin/x is /usr/bin/x on a merged system), a link with all that it leads to.
on_disk() {
    local path folder
    while IFS= read -r path; do
        while [[ -e $path && (! -d $path || -L $path) ]]; do
            folder=$(cd -P "${path%/*}/" && pwd)
            echo "${folder%/}/${path##*/}"
            [[ -L $path ]] || break
            path=$(cd "$folder" && readlink "$path")
            if [[ $path != /* ]]; then path=$folder/$path; fi
        done
    done | sort -u
}

# add_layer LAYOUT NAME FILE-LIST: a layer of those files that no layer below has.
add_layer() {
    local layout=$1 name=$2 list=$3
    on_disk <"$list" | comm -23 - "$layout.below" >"$layout.new"
    if [[ ! -s $layout.new ]]; then return; fi
    sort -u -o "$layout.below" "$layout.below" "$layout.new"
    tar --create --file "$layout.tar" --directory / --numeric-owner --no-recursion \
        --files-from <(sed 's|^/||' "$layout.new")
    add_tar "$layout" "$name"
}

# add_tar LAYOUT NAME: what lies in LAYOUT.tar as the next layer.
add_tar() {
    umoci raw add-layer --image "$1:demo" --history.comment "$2" "$1.tar"
    note "$(printf '%-9s %4d MB' "$2" $(($(stat -c %s "$1.tar") / 1000000)))"
    rm -f "$1.tar"
}

# What belongs to no package: folders, one user, the links of a merged system.
base_folders() {
    local root=$1 link
    mkdir -p "$root"/{dev,etc,proc,root,run,srv,sys,tmp,usr/bin,usr/lib,usr/local/bin,var/tmp}
    chmod 1777 "$root/tmp" "$root/var/tmp"
    echo 'root:x:0:0:root:/root:/bin/bash' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    for link in bin sbin lib lib32 lib64; do
        if [[ -L /$link ]]; then
            mkdir -p "$root/usr/$link"
            ln -s "usr/$link" "$root/$link"
        fi
    done
}

# What the container does in the end.
greeting() {
    cat <<'GREETING'
#!/bin/bash
# Says where it runs, and what is in the image.
echo "Hello from a container. Its image has $(find / -xdev -type f | wc -l) files, and these run:"
for program in bash perl python3 git gcc rustc; do
    if type -P "$program" >/dev/null; then echo "    $("$program" --version 2>&1 | grep -m1 .)"; fi
done
GREETING
}

# The layers of installed software. One that is not installed is left out.
software_layers() {
    local layout=$1 sysroot
    files_of_packages base-files bash coreutils dash findutils gawk grep gzip hostname libc-bin \
        libc6 mawk ncurses-base sed tar tzdata util-linux | with_libraries >"$layout.list"
    add_layer "$layout" base "$layout.list"
    files_of_packages python3 python3-minimal 'python3.[0-9]*' 'libpython3*' python3-numpy perl \
        perl-base 'perl-modules-*' 'libperl5*' git | with_libraries >"$layout.list"
    add_layer "$layout" scripting "$layout.list"
    files_of_packages gcc 'gcc-[0-9]*' 'g++-[0-9]*' cpp 'cpp-[0-9]*' 'libgcc-[0-9]*-dev' \
        'libstdc++-[0-9]*-dev' binutils 'binutils-*-linux-gnu' libc6-dev linux-libc-dev \
        cmake cmake-data | with_libraries >"$layout.list"
    add_layer "$layout" compiler "$layout.list"
    files_of_commands containerd ctr runc skopeo umoci podman docker-registry curl jq |
        with_libraries >"$layout.list"
    add_layer "$layout" tools "$layout.list"
    if sysroot=$(rustc --print sysroot 2>/dev/null); then
        tar --create --file "$layout.tar" --directory "$sysroot" --owner 0 --group 0 \
            --numeric-owner --transform 's|^|opt/rust/|' bin/rustc lib
        add_tar "$layout" rust
    fi
}

# make_image FOLDER: an OCI layout with the image `demo`, kept for the next time.
make_image() {
    local folder=$1 layout="$WORK/image" root="$WORK/root"
    umoci init --layout "$layout"
    umoci new --image "$layout:demo"
    : >"$layout.below"

    base_folders "$root"
    tar --create --file "$layout.tar" --directory "$root" --numeric-owner --owner 0 --group 0 .
    add_tar "$layout" folders
    software_layers "$layout"
    mkdir -p "$root.own/usr/local/bin"
    greeting >"$root.own/usr/local/bin/hello"
    chmod 755 "$root.own/usr/local/bin/hello"
    tar --create --file "$layout.tar" --directory "$root.own" --owner 0 --group 0 usr/local/bin/hello
    add_tar "$layout" hello

    umoci config --image "$layout:demo" --config.cmd /usr/local/bin/hello \
        --config.env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/rust/bin
    umoci gc --layout "$layout"
    mkdir -p "${folder%/*}"
    rm -rf "$folder"
    mv "$layout" "$folder"
}

# The image of this recipe, made now or the last time; sets LAYOUT.
image() {
    local recipe
    recipe=$(sha256sum <"${BASH_SOURCE[0]}" | cut -c1-12)
    LAYOUT=$CACHE/image-$recipe
    if [[ -e $LAYOUT/index.json ]]; then
        say "the image is there from the last time ($(du -sm "$LAYOUT" | cut -f1) MB)"
        return
    fi
    say "making an image out of the software that is installed here, layer by layer"
    BLAME=$WORK/image.log
    rm -rf "$CACHE"/image-*
    make_image "$LAYOUT" 2>"$BLAME" || fail "the image could not be made"
    note "$(du -sm "$LAYOUT" | cut -f1) MB compressed"
}
