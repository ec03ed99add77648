#!/bin/sh
# Part of condor_submit: the queue statement, its items and its jobs.
# shellcheck disable=SC2034,SC2154 # condor_submit and its other parts share these variables

# whole TEXT DEFAULT: `whole` is the number, of which the shell must not think that it is octal.
whole() {
    sign=${1%"${1#-}"} digits=${1#-}
    case $1,$digits in
        ,) whole=$2 ;;
        *, | *,*[!0-9]* | *,??????????*) syntax 'Invalid [::] statement' ;;
        *)
            digits=${digits#"${digits%%[!0]*}"}
            whole=$sign${digits:-0}
            ;;
    esac
}

invalid_count() {
    syntax 'Invalid Queue count expression'
}

# Sets `before`, `mode` and `rest` of "[COUNT] [VARIABLES] in|from|matching REST".
split_statement() {
    before='' mode='' rest=$1
    while [ -n "$rest" ]; do
        trim "$rest"
        rest=$trimmed word=${trimmed%%[" $TAB"(]*}
        case $word in
            [Ii][Nn]) mode=in ;;
            [Ff][Rr][Oo][Mm]) mode=from ;;
            [Mm][Aa][Tt][Cc][Hh][Ii][Nn][Gg]) mode=matching ;;
            '')
                before="$before ${rest%"${rest#?}"}" rest=${rest#?}
                continue
                ;;
            *)
                before="$before $word" rest=${rest#"$word"}
                continue
                ;;
        esac
        trim "${rest#"$word"}"
        rest=$trimmed
        [ -n "$rest" ] || invalid_count
        return
    done
}

count_of() {
    trim "$1"
    case $trimmed in
        '') count=1 ;;
        -*) syntax 'Queue count out of range' ;;
        *[!0-9]*)
            case $trimmed in
                *[!0-9.]* | *.*.*) ;;
                *) trimmed=${trimmed%%.*} ;;
            esac
            case $trimmed in *[!0-9+*/%\(\)" -"]* | *'**'*) invalid_count ;; esac
            # Only digits and operators.
            # shellcheck disable=SC2004 # dash takes no expression from a variable
            (: $(($trimmed))) 2> /dev/null || invalid_count
            # shellcheck disable=SC2004 # as above
            count=$(($trimmed))
            ;;
        *)
            count=${trimmed#"${trimmed%%[!0]*}"}
            [ ${#count} -lt 10 ] || syntax 'Queue count out of range'
            ;;
    esac
    [ "${count:-0}" -ge 0 ] || syntax 'Queue count out of range'
    [ "${count:-0}" -gt 0 ] || count=1
}

# [FIRST:END:STEP], as Python has it; `rest` goes on behind it.
slice_of() {
    case $rest in
        '[]') return 0 ;;
        '['*']'*) ;;
        '['*) syntax 'Invalid [::] statement' ;;
        *) return 0 ;;
    esac
    slice=${rest%%']'*} rest=${rest#*']'}
    slice=${slice#?}
    case $slice in *:*:*:*) syntax 'Invalid [::] statement' ;; esac
    slice=$slice::
    whole "${slice%%:*}" ''
    first=$whole slice=${slice#*:}
    whole "${slice%%:*}" ''
    end=$whole slice=${slice#*:}
    whole "${slice%%:*}" 1
    stride=$whole
    trim "$rest"
    rest=$trimmed
}

selected() {
    [ "$1" -ge "$first" ] && [ "$1" -lt "$end" ] && [ $((($1 - first) % stride)) -eq 0 ]
}

# Makes the slice's ends numbers, and `chosen` the number of the items that it takes.
count_selected() {
    [ -n "$first" ] || first=0
    [ -n "$end" ] || end=$items
    [ "$first" -ge 0 ] || first=$((first + items))
    [ "$end" -ge 0 ] || end=$((end + items))
    [ "$end" -le "$items" ] || end=$items
    [ "$first" -ge 0 ] || first=0
    chosen=0
    if [ "$stride" -lt 1 ]; then end=0 stride=1; fi
    [ "$end" -le "$first" ] || chosen=$(((end - first + stride - 1) / stride))
}

add_item() {
    printf '%s\n' "$1" >&5 || broken items
    items=$((items + 1))
}

# Every word between blanks and commas.
add_words() {
    IFS=" $TAB,"
    # shellcheck disable=SC2086 # words are what the list has
    set -- $1
    IFS=" $TAB$NEWLINE"
    for item; do
        [ -z "$item" ] || add_item "$item"
    done
}

add_line() {
    if [ "$mode" = from ]; then add_item "$1"; else add_words "$1"; fi
}

add_block() {
    begun=$line_number
    trim "${rest#?}"
    case $trimmed in
        *')')
            trim "${trimmed%')'}"
            [ -z "$trimmed" ] || add_line "$trimmed"
            return
            ;;
        ?*) add_line "$trimmed" ;;
    esac
    while read_line; do
        case $line in
            '#'*) ;;
            ')'*) return 0 ;;
            *) add_line "$line" ;;
        esac
    done
    syntax "Reached end of file without finding closing brace ')' for Queue command on line $begun"
}

add_lines_of() {
    exec 6<&3 3< "$1"
    kept=$line_number
    while read_whole_line; do
        add_item "$line"
    done
    line_number=$kept
    exec 3<&6 6<&-
}

# As read_line, and '#' is no comment.
read_whole_line() {
    line=''
    while IFS= read -r physical <&3 || [ -n "$physical" ]; do
        trim "$physical"
        case $trimmed in
            *\\) line=$line${trimmed%\\} ;;
            *)
                line=$line$trimmed
                return 0
                ;;
        esac
    done
    [ -n "$line" ]
}

add_file() {
    external
    case $rest in
        *'|')
            trim "${rest%'|'}"
            case $trimmed in '"'*) unsupported "quotes around the command of '$rest' on line $line_number" ;; esac
            # shellcheck disable=SC2086 # the real one splits at blanks, too
            set -- $trimmed
            command -v "${1-}" > /dev/null 2>&1 ||
                syntax 'not a valid command, errno=2 : No such file or directory'
            (
                if [ "$LOCALE" = unset ]; then unset LC_ALL; else LC_ALL=$LOCALE; fi
                exec 3<&- 5>&-
                set +fu
                exec "$@"
            ) < /dev/null > "$scratch/output"
            ;;
        -) cat > "$scratch/output" ;;
        *)
            [ -f "$rest" ] && [ -r "$rest" ] || syntax "can't open file $rest: No such file or directory"
            want "$rest"
            cat "$rest" > "$scratch/output"
            ;;
    esac
    tr -d '\000\r' < "$scratch/output" > "$scratch/lines" || broken items
    add_lines_of "$scratch/lines"
}

# Only the call knows these items.
external() {
    [ "$externals" -eq 0 ] || unsupported "a second queue statement with 'from' a file or 'matching', on line $line_number"
    externals=1
}

add_matches() {
    external
    kind=any seen=$NEWLINE
    case ${rest%%[" $TAB"]*} in
        [Ff][Ii][Ll][Ee][Ss]) kind=files ;;
        [Dd][Ii][Rr][Ss]) kind=dirs ;;
        [Aa][Nn][Yy]) ;;
        *) rest="any $rest" ;;
    esac
    trim "${rest#"${rest%%[" $TAB"]*}"}"
    rest=$trimmed
    slice_of
    case $rest in '('*)
        # The patterns are a list as of `in`.
        exec 7>&5 5> "$scratch/patterns"
        mode=in add_block
        exec 5>&7 7>&-
        rest=$(cat "$scratch/patterns") items=0
        ;;
    esac
    IFS=" $TAB,$NEWLINE"
    # shellcheck disable=SC2086 # words are what the list has
    set -- $rest
    IFS=''
    for pattern; do
        [ -n "$pattern" ] && match "$pattern" "$#"
    done
    IFS=" $TAB$NEWLINE"
}

# match PATTERN NUMBER OF PATTERNS: files, and folders with a / at the end.
match() {
    set +f
    found=0
    for item in $1; do
        if [ -d "$item" ]; then
            item=${item%/}/
            [ "$kind" != files ] || continue
        elif [ "$kind" = dirs ] || [ ! -e "$item" ]; then
            continue
        fi
        found=1
        if [ "$2" -gt 1 ]; then
            case $seen in *"$NEWLINE$item$NEWLINE"*) continue ;; esac
            seen=$seen$item$NEWLINE
        fi
        case $item in *"$NEWLINE"*) unsupported "'matching' a file with a line end in its name" ;; esac
        add_item "$item"
    done
    set -f
    case $found,$1 in 0,*[*?[]*) printf '\nWARNING: '\''%s'\'' does not match any files\n' "$1" >&2 ;; esac
}

# statement ARGUMENTS: one `queue`.
statement() {
    queued=1 branch=''
    [ -z "$queue_words" ] || [ -n "$by_word" ] ||
        syntax '-queue argument conflicts with queue statement in submit file'
    while IFS= read -r line <&8; do
        case $line in *=*) assign "${line%%=*}" "${line#*=}" ;; esac || syntax "the appended line '$line'"
    done 8< "$scratch/append"
    item_keys=' ' by_item='' by_proc=''
    expand "$1"
    case $out in *"$STAR"*) unsupported "the macros of the queue statement on line $line_number of $source" ;; esac
    split_statement "$out"
    count_of "${before%%[A-Za-z_\"\'=,]*}"
    variables=${before#"${before%%[A-Za-z_\"\'=,]*}"}
    case $mode,$variables in
        ,?* | *,*[!A-Za-z0-9_.,\ "$TAB"]* | *,,*) invalid_count ;;
        ?*,) variables=Item ;;
    esac
    list_items
    add_jobs
}

list_items() {
    items=0 slice='' first='' end='' stride=1
    exec 5> "$scratch/items.$queued"
    [ -z "$mode" ] || slice_of
    case $mode,$rest in
        ,*) add_item '' ;;
        matching,*) add_matches ;;
        *,'('*) add_block ;;
        in,*) add_words "$rest" ;;
        from,*) add_file ;;
    esac
    exec 5>&-
    [ "$externals" -ne 1 ] || {
        cat "$scratch/items.$queued" > "$call/items" || broken items
        externals=2
    }
    count_selected
}

# The jobs of the statement: their number, and what they take along.
add_jobs() {
    [ "$chosen" -gt 0 ] || return 0
    IFS=" $TAB,"
    # shellcheck disable=SC2086 # names
    set -- $variables
    IFS=" $TAB$NEWLINE"
    names=''
    for name; do
        [ -n "$name" ] || continue
        key_of "$name"
        names="$names $key" item_keys="$item_keys$key "
    done
    index=0 proc=$jobs
    exec 8< "$scratch/items.$queued"
    while IFS= read -r item <&8; do
        if selected "$index"; then
            [ -z "$mode" ] || set_variables
            step=0
            while [ "$step" -lt "$count" ]; do
                by_item='' by_proc=''
                take_along
                [ -n "$by_proc" ] || break
                step=$((step + 1)) proc=$((proc + 1))
            done
            [ -n "$by_item" ] || break
            proc=$((proc + count - step))
        fi
        index=$((index + 1))
    done
    exec 8<&-
    jobs=$((jobs + chosen * count))
    if [ "$max_jobs" -gt 0 ] && [ "$jobs" -gt "$max_jobs" ]; then
        dots "$max_jobs"
        fail "Number of submitted jobs would exceed -maxjobs ($max_jobs)"
    fi
}

# Each variable takes one field of the item, the last one the rest.
set_variables() {
    trim "$item"
    field=$trimmed left=''
    # shellcheck disable=SC2086 # names, without blanks
    set -- $names
    while [ $# -gt 0 ]; do
        left=''
        if [ $# -gt 1 ]; then
            case $field in
                *["$TAB ,"]*)
                    left=${field#*["$TAB ,"]} field=${field%%["$TAB ,"]*}
                    left=${left#"${left%%[! "$TAB"]*}"}
                    ;;
            esac
        fi
        eval "v_$1=\$field"
        field=$left
        shift
    done
}
