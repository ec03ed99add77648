#!/bin/sh
# Part of condor_submit: reads a submit description line by line, and expands its macros.
# shellcheck disable=SC2034,SC2154 # condor_submit and its other parts share these variables

# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────

trim() {
    trimmed=${1#"${1%%[! "$TAB"]*}"}
    trimmed=${trimmed%"${trimmed##*[! "$TAB"]}"}
}

# The name of the variable that keeps a macro: names of macros have no case.
key_of() {
    key=$1
    case $1 in
        *[!A-Za-z0-9_]*) key=$(printf '%s' "$1" | tr '[:upper:]+.' '[:lower:]__' | tr -c 'a-z0-9_' '_') ;;
        *[A-Z]*)
            eval "key=\${c_$1-}"
            if [ -z "$key" ]; then
                key=$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')
                eval "c_$1=\$key"
            fi
            ;;
    esac
}

is_set() {
    eval "[ -n \"\${v_$1+x}\" ]"
}

# Cuts `todo` behind the bracket that closes; the text before is `inner`.
close_bracket() {
    inner='' depth=1
    while :; do
        case $todo in
            *')'*) ;;
            *) return 1 ;;
        esac
        piece=${todo%%')'*} todo=${todo#*')'} inner=$inner$piece depth=$((depth - 1))
        while case $piece in *'('*) ;; *) false ;; esac; do
            piece=${piece#*'('} depth=$((depth + 1))
        done
        [ "$depth" -gt 0 ] || return 0
        inner="$inner)"
    done
}

# expand TEXT: `out` is the text with its macros; what only the real one knows becomes $STAR.
# `by_item` and `by_proc` tell whether it differs between items and between procs.
expand() {
    todo=$1 out='' turns=0
    while :; do
        case $todo in
            *'$'*) ;;
            *)
                out=$out$todo
                return
                ;;
        esac
        out=$out${todo%%'$'*} todo=${todo#*'$'} turns=$((turns + 1))
        [ "$turns" -lt 2000 ] || fail "the macros in '$(printf '%.60s' "$1")' never end"
        case $todo in
            \$\(*)
                todo=${todo#??} out=$out$STAR
                close_bracket || todo=''
                ;;
            '('*)
                whole=$todo todo=${todo#?}
                if close_bracket; then look_up; else out="$out\$$whole" todo=''; fi
                ;;
            [A-Za-z]*'('*)
                key_of "${todo%%'('*}"
                whole=$todo todo=${todo#*'('}
                if ! close_bracket; then
                    out="$out\$$whole" todo=''
                elif [ "$key" = env ]; then
                    look_up_environment
                else
                    case ${whole%%'('*} in
                        [!F]* | ?*[!pdnxbqauPDNXBQAU]*) out=$out$STAR ;;
                        *) look_up_path "${key#f}" ;;
                    esac
                fi
                ;;
            *) out="$out\$" ;;
        esac
    done
}

look_up() {
    case ${inner%%:*} in
        '' | *[!A-Za-z0-9_.]*)
            # No name of a macro: the text is as it stands.
            out="$out\$(" todo="$inner)$todo"
            return
            ;;
    esac
    key_of "${inner%%:*}"
    case $item_keys in *" $key "*) by_item=1 ;; esac
    case $key in
        process | procid) by_item=1 by_proc=1 todo=$proc$todo ;;
        cluster | clusterid) todo=$number$todo ;;
        dollar) out="$out\$" ;;
        '') ;;
        *)
            if is_set "$key"; then
                eval "todo=\$v_$key\$todo"
            else
                look_up_default
            fi
            ;;
    esac
}

look_up_default() {
    case $key in
        step) by_item=1 by_proc=1 todo=$step$todo ;;
        row | itemindex) by_item=1 todo=$index$todo ;;
        submit_file) todo=$source$todo ;;
        arch | opsys* | spool | year | month | day | submit_time | is_linux | node) out=$out$STAR ;;
        *) case $inner in *:*) todo=${inner#*:}$todo ;; esac ;;
    esac
}

look_up_environment() {
    name=${inner%%:*}
    case $name in
        '' | [0-9]* | *[!A-Za-z0-9_]*) return ;;
    esac
    eval "value=\${$name-}"
    if [ -n "$value" ]; then
        out=$out$value
    else
        case $inner in *:*) todo=${inner#*:}$todo ;; esac
    fi
}

# assign NAME VALUE: a value that names itself takes its old value along.
assign() {
    case $1 in *\$*)
        expand "$1"
        set -- "$out" "$2"
        ;;
    esac
    trim "$1"
    case $trimmed in
        +*) trimmed="my.${trimmed#+}" ;;
    esac
    case $trimmed in
        '' | *[!A-Za-z0-9_.]*) return 1 ;;
    esac
    key_of "$trimmed"
    own=$key
    trim "$2"
    case $trimmed in
        *\$\(*)
            todo=$trimmed out=''
            while case $todo in *\$\(*) ;; *) false ;; esac; do
                out=$out${todo%%\$\(*} todo=${todo#*\$\(}
                whole=$todo
                close_bracket || {
                    out="$out\$($whole" todo=''
                    break
                }
                key_of "${inner%%:*}"
                if [ "$key" != "$own" ]; then
                    out="$out\$($inner)"
                elif is_set "$own"; then
                    eval "out=\$out\$v_$own"
                else
                    case $inner in *:*) out=$out${inner#*:} ;; esac
                fi
            done
            trimmed=$out$todo
            ;;
    esac
    eval "v_$own=\$trimmed"
}

# value_of KEY...: `value` is the raw value of the first of these macros that is set.
value_of() {
    value=
    for key; do
        if is_set "$key"; then
            eval "value=\$v_$key"
            return 0
        fi
    done
    return 1
}

# ── lines ───────────────────────────────────────────────────────────────────────────────────────────────────────

# read_line: the next line of file descriptor 3, trimmed and whole: a backslash at its end takes the next one along,
# unless the line is a comment.
read_line() {
    line=''
    while :; do
        if IFS= read -r physical <&3 || [ -n "$physical" ]; then
            line_number=$((line_number + 1))
        elif [ -n "$line" ]; then
            return 0
        else
            return 1
        fi
        trim "$physical"
        case $line,$trimmed in
            ,'#'*)
                line=$trimmed
                return 0
                ;;
            *,'#'*\\) ;;
            *,'#'*) unsupported "a comment within a continued line (line $line_number of $source), which HTCondor misreads" ;;
            *,*\\) line=$line${trimmed%\\} ;;
            *)
                line=$line$trimmed
                return 0
                ;;
        esac
    done
}

# The first word of the line in lower case, for the few that are no assignments.
first_word() {
    word=${line%%[!A-Za-z]*}
    case $word in
        [Qq]*) [ ${#word} -eq 5 ] || return ;;
        [Ii]* | [Ee]* | [Uu]* | [Ww]* | [Jj]*) [ ${#word} -le 7 ] || return ;;
        *) return ;;
    esac
    case $word,${line#"$word"} in
        ,* | *,[0-9_.]*) word='' ;;
        *)
            key_of "$word"
            word=$key
            ;;
    esac
}

# Conditions: `branch` has a letter a level; t: taken, f: not yet, d: another one was taken, or the level above is off.
condition() {
    expand "$1"
    trim "$out"
    set -- "$trimmed" yes
    case $1 in
        '!'*)
            trim "${1#!}"
            set -- "$trimmed" no
            ;;
    esac
    key_of "$1"
    case $1 in
        [Dd][Ee][Ff][Ii][Nn][Ee][Dd]*)
            trim "${1#???????}"
            case $trimmed in
                *[!A-Za-z0-9_." $TAB"]*) reason='complex conditionals are not supported' ;;
                *[" $TAB"]*) reason='defined argument must be param name, boolean, or number' ;;
                *) reason='' ;;
            esac
            [ -z "$reason" ] || syntax "$1 is not a valid if condition because $reason"
            key_of "$trimmed"
            truth=no
            { [ -z "$trimmed" ] || ! is_set "$key"; } || truth=yes
            ;;
        *) case $key in
            true | yes | t | y) truth=yes ;;
            false | no | f | n | '') truth=no ;;
            *[!0-9]*) unsupported "'if $1' on line $line_number of $source: septum knows 'defined', true, false and numbers" ;;
            *)
                truth=no
                [ "$key" -eq 0 ] || truth=yes
                ;;
        esac ;;
    esac
    if [ "$truth" = "$2" ]; then verdict=t; else verdict=f; fi
}

branching() {
    case $word,$branch in
        if,*[fd]) branch=${branch}d ;;
        if,*)
            condition "${line#??}"
            branch=$branch$verdict
            ;;
        *,) syntax "$word without matching if" ;;
        endif,*) branch=${branch%?} ;;
        else,*f) branch=${branch%?}t ;;
        else,* | elif,*[td]) branch=${branch%?}d ;;
        elif,*)
            condition "${line#????}"
            branch=${branch%?}$verdict
            ;;
    esac
}

read_description() {
    branch=''
    while read_line; do
        case $line in
            '' | '#'*) continue ;;
        esac
        first_word
        case $word in
            if | elif | else | endif)
                branching
                continue
                ;;
        esac
        case $branch in *[fd]) continue ;; esac
        case $word,$line in
            queue,?????) statement '' ;;
            queue,?????["$TAB "]*) statement "${line#?????}" ;;
            include,*) include "${line#???????}" ;;
            use,???["$TAB "]*) ;;
            iterate,???????["$TAB "]*) unsupported "'iterate' on line $line_number of $source; write 'queue ... from'" ;;
            job,???["$TAB "]*) fail "a DAG file was provided" "
ERROR: on Line $line_number of $source:$NEWLINE
ERROR: A DAG file was provided. Please provide a submit file or use condor_submit_dag." ;;
            *,*@=*) case ${line%%=*} in
                *@) block ;;
                *) assign "${line%%=*}" "${line#*=}" || syntax '' ;;
            esac ;;
            *,*=*) assign "${line%%=*}" "${line#*=}" || syntax '' ;;
            *) syntax '' ;;
        esac
    done
    [ -z "$branch" ] || syntax 'endif(s) not found before end-of-file'
}

# NAME @=END, lines, @END
block() {
    name=${line%%@=*}
    trim "${line#*@=}"
    end="@$trimmed" text=''
    while IFS= read -r physical <&3 || [ -n "$physical" ]; do
        line_number=$((line_number + 1))
        trim "$physical"
        if [ "$trimmed" = "$end" ]; then
            assign "$name" "$text" || syntax ''
            return
        fi
        text="$text $physical"
    done
    syntax "the block '$end' has no end"
}

include() {
    case $1 in
        *'|'* | *[Cc][Oo][Mm][Mm][Aa][Nn][Dd]*:*)
            unsupported "'include' of a command's output, on line $line_number of $source" ;;
        *:*) ;;
        *) syntax '' ;;
    esac
    [ -z "$included" ] || unsupported "an included file that includes another, on line $line_number of $source"
    expand "${1#*:}"
    trim "$out"
    file=$trimmed
    [ -f "$file" ] || case $1 in
        *[Ii][Ff][Ee][Xx][Ii][Ss][Tt]*:*) return ;;
        *) syntax "can't open file $file" ;;
    esac
    want "$file"
    tr -d '\000\r' < "$file" > "$scratch/included"
    included=$line_number
    exec 4<&3 3< "$scratch/included"
    line_number=0
    read_description
    exec 3<&4 4<&-
    line_number=$included included=''
}
