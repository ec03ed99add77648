#!/bin/sh
# Runs one part of a septum plan on a worker: unpacks the inputs, runs the command, and leaves the declared outputs
# and a status file with exit code, sizes and checksums. Plain POSIX sh; needs nothing of septum here.
#
#   part.sh PART        reads  septum-PART.part  septum-inputs.tar.gz  septum-PART.tar   (the archives if present;
#                              the first one also as SHA256*.tar.gz, if it was fetched from elsewhere)
#                       writes septum-PART.status  septum-PART.out0 out1 …               (always all of them)
#                              septum-PART.tgz     the working folder, if the part fails and the user wants it
#
# Exit code: the command's; 119 the inputs are not what was sent, 120 another image under the name asked for, 121 a
# declared output is missing, 122 not in the image asked for, 123 cannot set up.

set -u
part=$1
status=septum-$part.status
started=$(date +%s)
command_code=null
image_seen=
image_path=
outputs=
spent=

write_status() { # stage
    {
        printf '{"format": 1, "part": "%s", "stage": "%s", "exit_code": %s, ' "$part" "$1" "$command_code"
        printf '"host": "%s", "image": "%s", ' "$(uname -n | plain)" "$(printf '%s' "$image_seen" | plain)"
        printf '"image_path": "%s", ' "$(printf '%s' "$image_path" | plain)"
        printf '"started": %s, "ended": %s, "times": "%s", ' "$started" "$(date +%s)" "$spent"
        printf '"outputs": [%s]}\n' "$outputs"
    } >"$status.new" && mv "$status.new" "$status"
}

plain() { LC_ALL=C tr -cd 'A-Za-z0-9._:/@+-'; }

sha256() { # file
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
    else openssl dgst -sha256 -r <"$1"; fi | cut -d ' ' -f 1
}

# The hash of what a ROOT output holds, by septum's own reader, where this image has Python and numpy; else nothing.
look() { # file
    [ -f septum-look.pyz ] || return 0
    limit=
    if command -v timeout >/dev/null 2>&1; then limit='timeout 600'; fi
    # shellcheck disable=SC2086  # two words, or none
    $limit python3 -E -s septum-look.pyz "$1" 2>/dev/null | tr -cd '0-9a-f'
}

# The working folder as it is, without credentials, which stand beside it.
keep_folder() {
    [ "$SEPTUM_KEEP_B" -gt 0 ] && [ -d work ] || return 0
    if tar -czf septum-folder.new work 2>/dev/null && [ "$(wc -c <septum-folder.new)" -le "$SEPTUM_KEEP_B" ]; then
        mv -f septum-folder.new "septum-$part.tgz"
    else
        rm -f septum-folder.new
        echo "septum: the working folder is larger than keep-failed-sandbox allows, or the disk is full" >&2
    fi
}

give_up() { # stage exit-code message
    printf 'septum: %s\n' "$3" >&2
    keep_folder
    write_status "$1"
    exit "$2"
}

# ── the image: what a variable says is no proof, since the job's environment may hold anything ──

number() { # file: its inode; the last link is not followed
    # shellcheck disable=SC2012  # the name comes last, and find cannot print the number
    ls -id "$1" 2>/dev/null | { read -r inode _ && echo "$inode"; }
}

# Whether / is the folder of the image: yes, no, or unknown. Overlays keep the numbers of files; where they do not, the
# content tells two systems apart, though not two images of the same system.
compare_root() { # folder
    same=0
    differ=0
    for file in usr/bin/env usr/bin/id usr/bin/tail etc/os-release; do
        ours=$(number "/$file")
        theirs=$(number "$1/$file")
        [ -n "$ours$theirs" ] || continue
        if [ "$ours" = "$theirs" ]; then
            same=$((same + 1))
        elif [ -z "$ours" ] || [ -z "$theirs" ]; then
            differ=$((differ + 1))
        elif [ -r "/$file" ] && [ -r "$1/$file" ] && [ "$(sha256 "/$file")" != "$(sha256 "$1/$file")" ]; then
            differ=$((differ + 1))
        fi
    done
    if [ "$same" -gt "$differ" ]; then echo yes; elif [ "$differ" -gt 0 ]; then echo no; else echo unknown; fi
}

# Whether Apptainer or Singularity made this root: they leave their marks in it and in the mounts.
contained() {
    [ -d /.singularity.d ] && return 0
    while read -r _ _ _ from at rest; do
        [ "$at" = / ] || continue
        case "$from $rest" in /underlay\ * | */mnt/session/* | *fuse-overlayfs*) return 0 ;; esac
    done </proc/self/mountinfo 2>/dev/null
    return 1
}

# Whether Docker or Podman started this very part. A worker may be a container itself: there, process 1 is another.
started_alone() {
    [ -e /.dockerenv ] || [ -e /run/.containerenv ] || return 1
    case " $(tr '\0' ' ' </proc/1/cmdline) " in *" $part "*) return 0 ;; *) return 1 ;; esac
} 2>/dev/null

# Whether the runtime's name for the image is that of the image asked for; a site may keep it in a folder of its own.
named() { # asked seen
    case $1:$2 in
    docker://*:*/cache/* | oras://*:*/cache/* | docker://*:/tmp/* | oras://*:/tmp/*) ;; # where the runtime pulls to
    docker://*:"${_CONDOR_SCRATCH_DIR:-/none}"/* | oras://*:"${_CONDOR_SCRATCH_DIR:-/none}"/*) ;;
    /cvmfs/*:/cvmfs/*/.flat/*)
        # Some runtimes name the folder behind the link, which then tells more than what cannot be seen from inside.
        [ -n "$image_path" ] || image_path=$2
        [ "$2" = "$image_path" ]
        ;;
    /cvmfs/*:/cvmfs/*) [ "$1" = "$2" ] ;;
    *) [ "${1##*/}" = "${2##*/}" ] ;;
    esac
}

check_image() {
    asked=${SEPTUM_IMAGE%/}
    image_seen=${APPTAINER_CONTAINER:-${SINGULARITY_CONTAINER:-}}
    image_seen=${image_seen%/}
    root=unknown
    # The path without links, which on CVMFS ends with the id of the image; a tag that is pushed again leads elsewhere.
    case $asked in /*) image_path=$(cd -P "$asked" 2>/dev/null && pwd -P) && root=$(compare_root "$image_path") ;; esac
    case $root in
    yes) image_seen=$asked ;;
    no) give_up image 122 "this worker did not start the image $asked: the part is in another system" ;;
    *)
        if contained && [ -n "$image_seen" ]; then
            named "$asked" "$image_seen" || give_up image 122 "this worker started $image_seen, not $asked"
        elif case $asked in docker://*) started_alone ;; *) false ;; esac; then
            image_seen=container
        else
            image_seen=
            give_up image 122 "this worker did not start the image $asked"
        fi
        ;;
    esac
    case $image_path in */.flat/*) ;; *) return 0 ;; esac
    [ -z "$SEPTUM_IMAGE_ID" ] || [ "${image_path##*/}" = "$SEPTUM_IMAGE_ID" ] ||
        give_up other-image 120 "under $asked, this worker has the image ${image_path##*/}, and CI has $SEPTUM_IMAGE_ID"
}

# shellcheck source=/dev/null  # septum writes it, for each part
. "./septum-$part.part" || exit 123

# The declared files exist from the beginning: a killed job must not be held for a file that it could not write.
n=0
while [ "$n" -lt "$SEPTUM_OUTPUTS" ]; do
    : >"septum-$part.out$n"
    n=$((n + 1))
done
[ "$SEPTUM_KEEP_B" -gt 0 ] && : >"septum-$part.tgz"
write_status started

# A pool may ignore the request for an image without a word, so the part looks for itself.
[ -z "$SEPTUM_IMAGE" ] || check_image

# What all parts share: there, and what was sent, to the last byte. A page with an error is an answer, too.
shared=septum-inputs.tar.gz
if [ -n "$SEPTUM_SHARED" ]; then
    for archive in "$SEPTUM_SHARED"*.tar.gz; do [ -f "$archive" ] && shared=$archive; done
    [ -f "$shared" ] || give_up inputs 119 "the shared inputs did not arrive"
    sum=$(sha256 "$shared")
    case $sum in *[!0-9a-f]* | '') give_up setup 123 "no sha256sum, shasum or openssl in this image" ;; esac
    [ "$sum" = "$SEPTUM_SHARED" ] || give_up inputs 119 \
        "the shared inputs are not what was sent: $(wc -c <"$shared" | tr -d ' ') bytes with sha256 $sum, not $SEPTUM_SHARED"
fi

top=$(pwd)
mkdir work || give_up setup 123 "cannot make the working folder"
for archive in "$shared" "septum-$part.tar"; do
    [ -f "$archive" ] || continue
    case $archive in *.gz) flags=-xzf ;; *) flags=-xf ;; esac
    tar "$flags" "$archive" -C work || give_up setup 123 "cannot unpack $archive"
done
printf '%s\n' "$SEPTUM_SCRIPT" >septum-script.sh || give_up setup 123 "cannot write the script of the part"

# In the background, so that this shell can pass a signal on and still write the status.
stopped=
SEPTUM_BEGAN=$top/septum-began
export SEPTUM_BEGAN
cd work || exit 123
"$SEPTUM_SHELL" ../septum-script.sh </dev/null &
child=$!
trap 'stopped=yes; kill -TERM "$child" 2>/dev/null' TERM INT HUP
while :; do
    wait "$child"
    command_code=$?
    kill -0 "$child" 2>/dev/null || break
done
trap - TERM INT HUP
cd "$top" || exit 123
# CPU time of all that has ended: the second line of what every POSIX shell says.
times >septum-times 2>/dev/null && spent=$(sed -n '2{s/,/./g;s/[^0-9ms. ]//g;p;}' septum-times)
if [ "$command_code" -eq 0 ] && [ ! -e septum-began ]; then
    command_code=null
    give_up setup 123 "a set-up line ended the shell before the command began"
fi

outputs=
missing=
path=
n=0
while [ "$n" -lt "$SEPTUM_OUTPUTS" ]; do
    eval "path=\$SEPTUM_OUTPUT_$n"
    entry=null
    if [ -f "work/$path" ]; then
        if cp -fLl "work/$path" "septum-$part.out$n" 2>/dev/null || cp -f "work/$path" "septum-$part.out$n"; then
            size=$(wc -c <"septum-$part.out$n" | tr -d ' ')
            sum=$(sha256 "septum-$part.out$n")
            case $sum in *[!0-9a-f]* | '') give_up setup 123 "no sha256sum, shasum or openssl in this image" ;; esac
            content=
            case $path in *.root) content=$(look "septum-$part.out$n") ;; esac
            entry="{\"size\": $size, \"sha256\": \"$sum\", \"content\": \"$content\"}"
        else
            give_up setup 123 "cannot copy the output $path; is the disk full?"
        fi
    fi
    [ "$entry" != null ] || missing=$path
    # Only files come back.
    [ ! -d "work/$path" ] || printf 'septum: %s is a folder: name its files under outputs, or pack it\n' "$path" >&2
    outputs=$outputs${outputs:+, }$entry
    n=$((n + 1))
done

if [ -n "$stopped" ]; then stage=stopped; else stage="done"; fi
if [ -n "$missing" ] || [ "$command_code" -ne 0 ]; then keep_folder; fi
write_status "$stage"
[ "$command_code" -eq 0 ] || exit "$command_code"
if [ -n "$missing" ]; then
    printf 'septum: the command ended with exit code 0 and did not write %s\n' "$missing" >&2
    exit 121
fi
exit 0
