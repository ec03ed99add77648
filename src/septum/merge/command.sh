#!/bin/sh
# Runs the framework's own merge over the verified outputs of all parts: lays each output where the command expects it,
# runs the command in the root of the repository, keeps what it wrote, and takes away what was laid. Plain POSIX sh.
#
#   run.sh          reads values list inputs command.sh beside it, writes the product, and last: done
#   run.sh clean    takes away what a run that was killed has left
#
# Exit code: the command's; 40 if it was not run, or wrote no product; 128 and the signal's number if it was stopped.

set -u
here=$(unset CDPATH && cd "$(dirname "$0")" && pwd -P) || exit 40
merge_root='' merge_shell='' merge_product='' merge_kept='' merge_result=''
# shellcheck source=/dev/null  # septum writes it, for each result
. "$here/values" || exit 40
cd "$here/$merge_root" || exit 40
tab=$(printf '\t')
child=
stopped=

sha256() { # file
    if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
    else openssl dgst -sha256 -r <"$1"; fi | cut -d ' ' -f 1
}

# Whether all outputs are what they were: by one process where it can be, as there are thousands of them.
all_same() {
    command -v sha256sum >/dev/null 2>&1 || return 1
    LC_ALL=C sed -n "s/^\([0-9a-f]*\)$tab\([^$tab]*\)$tab.*/\1  \2/p" "$here/list" 2>/dev/null |
        (cd "$here" && sha256sum -c >/dev/null 2>&1)
}

stands() { [ -e "$1" ] || [ -L "$1" ]; }

# Everything that was laid, noted before it was; and of the product, that nobody else can have written it.
take_away() {
    if [ -f "$here/laid" ]; then
        set --
        while IFS= read -r place; do
            set -- "$@" "./$place"
            if [ $# -ge 200 ]; then rm -f "$@"; set --; fi
        done <"$here/laid"
        rm -f "$@" "$here/laid"
    fi
    if [ -f "$here/began" ]; then
        if stands "./$merge_product"; then
            rm -rf "$here/rejected"
            mv -f "./$merge_product" "$here/rejected"
        fi
        rm -f "$here/began"
    fi
    if [ -f "$here/folders" ]; then
        LC_ALL=C sort -r "$here/folders" | while IFS= read -r folder; do rmdir "$folder" 2>/dev/null; done
        rm -f "$here/folders"
    fi
}

record() { # exit-code why [size sha256]
    {
        printf 'list %s\ncode %s\nwhy %s\n' "$list_sum" "$1" "$2"
        [ $# -lt 4 ] || printf 'size %s\nsha256 %s\n' "$3" "$4"
    } >"$here/done.new" && mv -f "$here/done.new" "$here/done"
}

give_up() { # exit-code why
    trap '' TERM INT HUP
    printf 'septum: %s: %s\n' "$merge_result" "$2" >&2
    take_away
    record "$1" "$2"
    exit "$1"
}

take_away
[ "${1:-}" != clean ] || exit 0
rm -f "$here/done" "$here/$merge_kept"
list_sum=$(sha256 "$here/list")
case $list_sum in *[!0-9a-f]* | '') list_sum=none; give_up 40 "no sha256sum, shasum or openssl in this image" ;; esac
trap 'give_up 143 "stopped by a signal before the command began"' TERM INT HUP

# Look first: nothing is laid before all is known to fit.
stands "./$merge_product" && give_up 40 "$merge_product is there before the command ran; remove it"
same=
all_same && same=yes
while IFS=$tab read -r sum stored place; do
    [ "$sum" != work ] || continue
    if [ -z "$same" ]; then
        [ -f "$here/$stored" ] || give_up 40 "the output that belongs to $place is not there: $stored"
        [ "$(sha256 "$here/$stored")" = "$sum" ] || give_up 40 "the output that belongs to $place was changed: $stored"
    fi
    if stands "./$place"; then
        { [ -f "./$place" ] && [ ! -L "./$place" ] && [ "$(sha256 "./$place")" = "$sum" ]; } ||
            give_up 40 "something else stands at $place, where the output of a part belongs; remove it"
    fi
done <"$here/list"

make_folders() { # place
    case $1 in */*) [ ! -d "./${1%/*}" ] || return 0 ;; *) return 0 ;; esac
    rest=${1%/*}/
    folder=.
    while [ -n "$rest" ]; do
        folder=$folder/${rest%%/*}
        rest=${rest#*/}
        if [ ! -d "$folder" ]; then
            printf '%s\n' "$folder" >>"$here/folders" && mkdir "$folder" || return 1
        fi
    done
}

# Copies, not links: a framework may write into what it merges.
while IFS=$tab read -r sum stored place; do
    [ "$sum" != work ] || continue
    if stands "./$place"; then
        # There before; or the same place for two parts, where a file system takes A and a for one.
        [ "$(sha256 "./$place")" = "$sum" ] || give_up 40 "the outputs of two parts would both be laid at $place"
        continue
    fi
    make_folders "$place" || give_up 40 "no folder can be made for $place"
    { printf '%s\n' "$place" >>"$here/laid" && cp "$here/$stored" "./$place" &&
        { [ -w "./$place" ] || chmod u+rw "./$place"; }; } ||
        give_up 40 "the output cannot be laid at $place; is the disk full?"
done <"$here/list"

make_folders "$merge_product" || give_up 40 "no folder can be made for $merge_product"

# In the background, so that this shell can pass a signal on and still take away what was laid.
: >"$here/began" || give_up 40 "nothing can be written into $here"
MERGE_RESULT=$merge_result MERGE_PRODUCT=$merge_product MERGE_INPUTS=$here/inputs
export MERGE_RESULT MERGE_PRODUCT MERGE_INPUTS
# shellcheck disable=SC2086  # the shell and its options
$merge_shell "$here/command.sh" </dev/null &
child=$!
trap 'stopped=yes; kill -TERM "$child" 2>/dev/null' TERM INT HUP
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
done
trap '' TERM INT HUP
[ -z "$stopped" ] || give_up 143 "stopped by a signal while the command ran"
[ "$code" -eq 0 ] || give_up "$code" "the command ended with exit code $code"
[ ! -L "./$merge_product" ] || give_up 40 "the command ended with exit code 0, and $merge_product is a link, not a file"
[ -f "./$merge_product" ] || give_up 40 "the command ended with exit code 0 and did not write $merge_product"
[ -s "./$merge_product" ] || give_up 40 "the command ended with exit code 0, and $merge_product is empty"
mv -f "./$merge_product" "$here/$merge_kept" || give_up 40 "$merge_product cannot be moved to $here; is the disk full?"
take_away
record 0 "" "$(wc -c <"$here/$merge_kept" | tr -d ' ')" "$(sha256 "$here/$merge_kept")" || exit 40
