#!/bin/sh
# Runs one part of a septum plan on a worker: unpacks the inputs, runs the command, and leaves the declared outputs
# and a status file with exit code, sizes and checksums. Plain POSIX sh; needs nothing of septum here.
#
#   part.sh PART        reads  septum-PART.part  septum-inputs.tar.gz  septum-PART.tar   (the archives if present)
#                       writes septum-PART.status  septum-PART.out0 out1 …               (always all of them)
#                              septum-PART.tgz     the working folder, if the part fails and the user wants it
#
# Exit code: the command's; 121 a declared output is missing, 122 not in the image asked for, 123 cannot set up.

set -u
part=$1
status=septum-$part.status
started=$(date +%s)
command_code=null
image_seen=
outputs=
spent=

write_status() { # stage
    {
        printf '{"format": 1, "part": "%s", "stage": "%s", "exit_code": %s, ' "$part" "$1" "$command_code"
        printf '"host": "%s", "image": "%s", ' "$(uname -n | plain)" "$(printf '%s' "$image_seen" | plain)"
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
if [ -n "$SEPTUM_IMAGE" ]; then
    image_seen=${APPTAINER_CONTAINER:-${SINGULARITY_CONTAINER:-}}
    if [ -z "$image_seen" ] && { [ -e /.dockerenv ] || [ -e /run/.containerenv ]; }; then image_seen=container; fi
    [ -n "$image_seen" ] || give_up image 122 "this worker did not start the image $SEPTUM_IMAGE"
    case $SEPTUM_IMAGE:$image_seen in
    /*:/*)
        [ "${SEPTUM_IMAGE%/}" = "${image_seen%/}" ] ||
            [ "$(basename "${SEPTUM_IMAGE%/}")" = "$(basename "${image_seen%/}")" ] ||
            give_up image 122 "this worker started $image_seen, not $SEPTUM_IMAGE"
        ;;
    esac
fi

top=$(pwd)
mkdir work || give_up setup 123 "cannot make the working folder"
for archive in septum-inputs.tar.gz "septum-$part.tar"; do
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
