#!/bin/sh
# Part of condor_submit: the functions that take a part of a path, $Fp(name) and its like.
# shellcheck disable=SC2034,SC2154 # condor_submit and its other parts share these variables

# look_up_path LETTERS: what $F…(inner) is. Of a macro it is a part of the value; else of the text itself.
look_up_path() {
    set -- "$1" "$todo" "$out" "$turns"
    path=$inner named=''
    case $inner in
        '' | *[!A-Za-z0-9_.]*) ;;
        *)
            key_of "$inner"
            if is_set "$key" || is_known; then named=yes; fi
            ;;
    esac
    if [ -n "$named" ]; then
        levels=$((levels + 1))
        [ "$levels" -lt 20 ] || fail "the macros in '$(printf '%.60s' "$inner")' never end"
        expand "\$($inner)"
        path=$out levels=$((levels - 1)) turns=$((turns + $4))
    fi
    case $path in
        *"$STAR"*) piece=$STAR ;;
        *) part_of_path "$1" ;;
    esac
    if [ -n "$named" ]; then
        todo=$2 out=$3$piece
    else
        todo=$piece$2 out=$3
    fi
}

is_known() {
    case $key in
        process | procid | cluster | clusterid | step | row | itemindex | submit_file) ;;
        arch | opsys* | spool | year | month | day | submit_time | is_linux | node) ;;
        *) return 1 ;;
    esac
}

# part_of_path LETTERS: `piece` is what they take of `path`.
part_of_path() {
    case $path in '"'*'"') path=${path#?} && path=${path%?} ;; esac
    base=${path##*/} ending=''
    parents=${path%"$base"}
    case $base in ?*.*) ending=.${base##*.} ;; esac
    case $1 in *d*) last_parents "$1" ;; esac
    case $1,$parents in
        *[dp]*n*x*,* | *[dp]*x*n*,* | *x*[dp]*n*,* | *x*n*[dp]*,* | *n*[dp]*x*,* | *n*x*[dp]*,*) piece=$parents$base ;;
        *[dp]*x*,?* | *x*[dp]*,?*) piece=$parents$base ;;
        *[dp]*n*,* | *n*[dp]*,*) piece=$parents${base%"$ending"} ;;
        *n*x*,* | *x*n*,*) piece=$base ;;
        *n*,*) piece=${base%"$ending"} ;;
        *x*b*,* | *b*x*,*) piece=${ending#.} ;;
        *x*,*) piece=$ending ;;
        *[dp]*b*,* | *b*[dp]*,*) piece=${parents%/} ;;
        *[dp]*,*) piece=$parents ;;
        *) piece=$path ;;
    esac
    case $1 in
        *q*a* | *a*q*) piece="'$piece'" ;;
        *q*) piece="\"$piece\"" ;;
    esac
}

# last_parents LETTERS: for each d one folder, from the last on.
last_parents() {
    [ -n "$parents" ] || return 0
    left=${parents%/} parents='' more=$1 ended=''
    while case $more in *d*) ;; *) false ;; esac; do
        [ -z "$ended" ] ||
            unsupported "\$F$1 of '$path', which has fewer folders: HTCondor reads beyond the beginning of the text"
        parents=${left##*/}/$parents more=${more#*d}
        case $left in
            */*) left=${left%/*} ;;
            *) ended=yes ;;
        esac
    done
}
