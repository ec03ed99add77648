#!/bin/sh
# Runs one part of a septum plan as a step of a REANA workflow, with its attempts, and leaves in the workspace what
# septum reads there: facts in the names of empty files, and one archive of all that comes back. Plain POSIX sh.
#
#   step.sh PART TRIES TIME_S WHERE LOOK_S ARCHIVE OWN FILE...
#
# WHERE is pod where the workspace is the one that septum sees, so that lease and stop are looked at, or copy. ARCHIVE
# in septum/send holds the part's values, and OWN (own or none) its input files. FILEs there are what all parts share.
#
#   septum/state/PART.began.ATTEMPT.HOST                     an attempt runs
#   septum/state/PART.told.ATTEMPT.EXIT.MEMORY.FLAG.HOST     it ended; FLAG: ok, again (another follows), timeout, lease,
#                                                            stopped, memory, evicted, damaged, unpacked
#   septum/back/PART.tar                                     status, outputs, stdout, stderr, kept folder
#   septum/state/PART.ended                                  the last of all: the output of the rule
#
# No marker goes while the workflow runs: a server that lists a file in the moment in which it goes gives no list at all.
# Exit code 0 in every case that has a verdict: a step that fails would end the whole workflow.

set -u

say() { printf 'septum: %s\n' "$1" >&2; }

fail() { # message: no verdict can be left, so REANA itself has to say that something is wrong
    say "$1"
    exit 1
}

mark() { : >"$state/$part.$1" || fail "cannot write to the workspace; is the disk full?"; }

number_in() { # file: its first word, if that is a number
    read -r word _ <"$1" || return 1
    case $word in '' | *[!0-9]*) return 1 ;; esac
    printf '%s' "$word"
} 2>/dev/null

# The largest memory of this pod so far, in bytes; 0 where nobody measures. A copy may share its group with others.
peak() {
    [ "$where" = pod ] || {
        printf 0
        return
    }
    number_in "$groups/memory.peak" || number_in "$groups/memory/memory.max_usage_in_bytes" || printf 0
}

# How often the kernel has killed something here for want of memory.
kills() {
    sed -n 's/^oom_kill //p' "$groups/memory.events" "$groups/memory/memory.oom_control" | sed -n 1p
} 2>/dev/null

lease_is_over() {
    # A lease that is being written, or whose upload was cut, is none: it lacks the word behind it.
    read -r until_s word <septum/lease || return 1
    [ "$word" = end ] || return 1
    case $until_s in '' | *[!0-9]*) return 1 ;; esac
    [ "$(date +%s)" -gt "$until_s" ]
} 2>/dev/null

# Why the part is not to run on; fails if it is. A step that REANA has started again takes the place of the one before.
unwanted() {
    [ "$where" = pod ] || return 1
    if [ -e "septum/stop/$part" ]; then
        echo stopped
    elif lease_is_over; then
        echo lease
    elif read -r owner <"septum-run/$part.owner" && [ "$owner" != "$own" ]; then
        echo superseded
    else
        return 1
    fi
} 2>/dev/null

signal_group() { # name process: to all that it started, or to itself where no group could be made
    kill -"$1" "-$2" 2>/dev/null || kill -"$1" "$2" 2>/dev/null
}

end_it() { # reason process
    printf '%s\n' "$1" >"$own/why"
    signal_group TERM "$2"
    grace=10
    while [ "$grace" -gt 0 ] && kill -0 "$2" 2>/dev/null; do
        sleep 1
        grace=$((grace - 1))
    done
    signal_group KILL "$2"
}

watch() { # process began_s
    while :; do
        pause=$look_s
        if [ "$time_s" -gt 0 ]; then
            left=$(($2 + time_s - $(date +%s)))
            if [ "$left" -le 0 ]; then
                end_it timeout "$1"
                return
            fi
            [ "$left" -ge "$pause" ] || pause=$left
        fi
        if why=$(unwanted); then
            end_it "$why" "$1"
            return
        fi
        sleep "$pause"
    done
}

# Whether the files in septum/send are whole. Their names begin with their sums; another septum may just send them.
whole() {
    command -v sha256sum >/dev/null 2>&1 || return 0
    looks=6
    for file in "$@"; do
        while [ "$(sha256sum <"septum/send/$file" 2>/dev/null | cut -c 1-16)" != "${file%%-*}" ]; do
            looks=$((looks - 1))
            if [ "$looks" -le 0 ]; then
                say "septum/send/$file is not what was sent"
                return 1
            fi
            sleep "$look_s"
        done
    done
}

lay_out() { # file...: a fresh folder for an attempt
    rm -rf "$box"
    mkdir -p "$box" || return 1
    for file in "$@"; do
        ln "septum/send/$file" "$box/${file#*-}" 2>/dev/null || cp "septum/send/$file" "$box/${file#*-}" || return 1
    done
    if [ "$own_files" = own ]; then
        tar -xf "septum/send/$archive" -C "$box" "septum-$part.part" "septum-$part.tar"
    else
        tar -xf "septum/send/$archive" -C "$box" "septum-$part.part"
    fi
}

attempt() { # one run of the wrapper; sets code and why
    began_s=$(date +%s)
    kills_before=$(kills)
    rm -f "$own/why"
    # A group of its own, where the image can make one, so that all of it can be ended.
    (
        cd "$box" || exit 123
        if command -v setsid >/dev/null 2>&1; then
            exec setsid sh ./septum-part.sh "$part"
        else
            exec sh ./septum-part.sh "$part"
        fi
    ) >"$box/septum-$part.stdout" 2>"$box/septum-$part.stderr" </dev/null &
    child=$!
    watch "$child" "$began_s" >/dev/null 2>&1 </dev/null &
    watcher=$!
    while :; do
        if [ -n "$terminated" ]; then signal_group KILL "$child"; fi
        wait "$child"
        code=$?
        kill -0 "$child" 2>/dev/null || break
    done
    if [ -e "$own/why" ]; then
        wait "$watcher" # it still ends what the command left behind
    else
        kill "$watcher" 2>/dev/null
        wait "$watcher" 2>/dev/null
    fi
    signal_group KILL "$child"
    child=
    why=$(cat "$own/why" 2>/dev/null)
    if [ -z "$why" ] && [ -n "$terminated" ]; then
        why=evicted
        code=143
        echo "septum: the pod was told to end, and the part with it" >>"$box/septum-$part.stderr"
    elif [ -z "$why" ] && [ "$code" -ne 0 ] && [ "$where" = pod ] && [ "$(kills)" != "$kills_before" ]; then
        why=memory
    fi
}

pack() {
    set --
    for file in "septum-$part.status" "septum-$part.stdout" "septum-$part.stderr" "septum-$part.tgz"; do
        [ ! -f "$box/$file" ] || set -- "$@" "$file"
    done
    for path in "$box/septum-$part.out"*; do
        [ ! -f "$path" ] || set -- "$@" "${path##*/}"
    done
    tar -cf "$own/back" -C "$box" "$@" && mv -f "$own/back" "septum/back/$part.tar"
}

leave() { # flag: the verdict, then the marker that REANA waits for
    mark "told.$number.$code.$(peak).$1.$host"
    mark ended
    rm -rf "$own" # and not the name of the owner: a step that this one has replaced still looks for it
    exit 0
}

main() {
    part=$1 tries=$2 time_s=$3 where=$4 look_s=$5 archive=$6 own_files=$7
    shift 7
    state=septum/state
    groups=${SEPTUM_CGROUP:-/sys/fs/cgroup}
    host=$(uname -n | LC_ALL=C tr -cd 'A-Za-z0-9._-' | cut -c 1-80)
    mkdir -p "$state" septum/back septum-run || fail "cannot write to the workspace; is the disk full?"

    # What earlier steps of this part have left, whose pod ended or whose workflow was started again.
    number=0
    flag=
    for marker in "$state/$part".began.* "$state/$part".told.*; do
        [ -e "$marker" ] || continue
        rest=${marker##*/"$part".}
        kind=${rest%%.*}
        rest=${rest#*.}
        found=${rest%%.*}
        case $found in '' | *[!0-9]*) continue ;; esac
        [ "$found" -ge "$number" ] || continue
        number=$found
        rest=${rest#*.*.*.}
        if [ "$kind" = told ]; then flag=${rest%%.*}; else flag=; fi
    done
    case $flag in
    '' | again | evicted) ;;
    *)
        mark ended # it has ended already, and REANA has not noticed
        exit 0
        ;;
    esac

    own=septum-run/$part.$host.$(date +%s).$$
    box=$own/box
    code=x
    terminated=
    child=
    mkdir -p "$own" || fail "cannot write to the workspace; is the disk full?"
    printf '%s\n' "$own" >"$own/owner" && mv -f "$own/owner" "septum-run/$part.owner"
    rm -f "$state/$part.ended"
    trap 'terminated=yes; [ -z "$child" ] || signal_group KILL "$child"' TERM INT HUP
    if why=$(unwanted) && [ "$why" != superseded ]; then leave "$why"; fi
    whole "$archive" "$@" || leave damaged

    try=1
    while :; do
        number=$((number + 1))
        mark "began.$number.$host"
        lay_out "$@" || leave damaged
        attempt
        if [ "$(unwanted)" = superseded ]; then why=superseded; fi
        case $why in
        superseded)
            rm -rf "$own"
            exit 0
            ;;
        stopped | lease) leave "$why" ;; # nobody wants what it wrote
        esac
        if [ -z "$why" ] && [ "$code" -ne 0 ] && [ "$try" -lt "$tries" ]; then
            mark "told.$number.$code.$(peak).again.$host"
            try=$((try + 1))
            continue
        fi
        if pack; then leave "${why:-ok}"; else leave unpacked; fi
    done
}

# The last line starts everything: of a file that is cut, nothing runs.
main "$@"
