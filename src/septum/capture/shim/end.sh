#!/bin/sh
# After the framework: removes the proxy, keeps the files that its merge needs, and judges the recording. Ends with 2, as
# for all that a user's configuration asks and that cannot be: nothing was recorded, or something that cannot be run.
set -uf
# shellcheck disable=SC2034 # copies.sh reads these
TAB='	' STAR=$(printf '\001') max_mb=${SEPTUM_RECORDING_MAX_MB:-2000} bytes=0 missing='' last_wanted=''
NEWLINE='
'
LC_ALL=C IFS=" $TAB$NEWLINE"
export LC_ALL
recorder=$(cd "${0%/*}" && pwd) || exit 2

fail() {
    printf 'septum: %s\n' "$1" >&2
    exit 2
}

unsupported() {
    fail "$1"
}

# shellcheck source=/dev/null # it lies beside, and is judged for itself
. "$recorder/lib/copies.sh"

# The files in `keep`, a pattern a line, as they are below the folder that we are in.
keep_files() {
    call=$SEPTUM_RECORDING/kept.new scratch=$SEPTUM_RECORDING/.keep
    rm -rf "$call" "$scratch" "$SEPTUM_RECORDING/kept"
    mkdir -p "$call/stored/in" "$scratch/names" "$scratch/folders" || fail "cannot write to $SEPTUM_RECORDING"
    : > "$scratch/batch"
    read -r folder < "$recorder/folder" || folder=/nowhere
    cd "$folder" || fail "the folder that the framework began in is gone"
    exec 9> "$scratch/wanted"
    IFS=''
    while read -r pattern; do
        set +f
        for found in $pattern; do
            set -f
            if [ -e "$found" ]; then want "$found"; fi
        done
        set -f
    done < "$recorder/keep"
    IFS=" $TAB$NEWLINE"
    exec 9>&-
    copy_all
    : >> "$call/left-out"
    while IFS=$TAB read -r name why; do
        printf 'septum: %s is not kept: %s\n' "$name" "$why" >&2
    done < "$call/left-out"
    mv "$call/stored/in" "$SEPTUM_RECORDING/kept" || fail "cannot write to $SEPTUM_RECORDING"
    rm -rf "$call" "$scratch"
}

count_jobs() {
    calls=0 total=0
    set +f
    for answer in "$SEPTUM_RECORDING"/[0-9]*[0-9]/answer; do
        [ -f "$answer" ] || continue
        calls=$((calls + 1))
        while read -r jobs _; do
            total=$((total + jobs))
        done < "$answer"
    done
    for unfinished in "$SEPTUM_RECORDING"/*.new; do
        [ ! -d "$unfinished" ] || fail "a call of condor_submit was ended before it was recorded (${unfinished##*/})"
    done
    set -f
}

sh "$recorder/tidy.sh"
SEPTUM_RECORDING=${SEPTUM_RECORDING:-${recorder%/*}/recording}
if [ -e "$SEPTUM_RECORDING/refused" ]; then
    printf 'septum: the framework called what cannot be recorded:\n' >&2
    while IFS=$TAB read -r name why; do
        printf '  %s: %s\n' "$name" "$why" >&2
    done < "$SEPTUM_RECORDING/refused"
    exit 2
fi
count_jobs
[ "$calls" -gt 0 ] || fail "no call of condor_submit was recorded: let the script of the framework call it, and look above \
why it did not (septum-made jobs belong under 'command' and 'parts')"
[ "$total" -gt 0 ] || fail "condor_submit was called, and no job was queued: look at the lists behind 'queue'"
[ ! -f "$recorder/keep" ] || keep_files
words='calls of condor_submit' many=jobs
[ "$calls" -gt 1 ] || words='call of condor_submit'
[ "$total" -gt 1 ] || many=job
printf 'septum: %d %s recorded, %d %s\n' "$calls" "$words" "$total" "$many"
