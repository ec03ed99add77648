#!/bin/sh
# Part of condor_submit: what the jobs take along, and its copies.
# shellcheck disable=SC2034,SC2154 # condor_submit and its other parts share these variables

# ── what jobs take along ────────────────────────────────────────────────────────────────────────────────────────

take_along() {
    folder='' trimmed=''
    # The first that is given counts; two others, where that one is empty.
    if value_of initialdir iwd; then
        expand "$value"
        trim "$out"
    fi
    if [ -z "$trimmed" ] && value_of initial_dir job_iwd; then
        expand "$value"
        trim "$out"
    fi
    if [ -n "$trimmed" ]; then
        folder=$trimmed
        case $folder in
            '' | *"$STAR"*) ;;
            *)
                [ -d "$folder" ] || case $folder in
                    /*) fail "No such directory: $folder" "ERROR: No such directory: $folder" ;;
                    *) fail "No such directory: $folder" "ERROR: No such directory: $(pwd)/$folder" ;;
                esac
                ;;
        esac
    fi
    take_executable
    for list in transfer_input_files transferinput transferinputfiles my_transferinput public_input_files jar_files; do
        value_of "$list" || continue
        expand "$value"
        eval "value=\${last_$list-}"
        [ "$out" != "$value" ] || [ "$folder" != "$last_folder" ] || continue
        eval "last_$list=\$out"
        want_list "$out"
    done
    if value_of input stdin; then
        expand "$value"
        trim "$out"
        want_in_folder "$trimmed"
    fi
    last_folder=$folder
}

take_executable() {
    if ! value_of executable cmd; then
        value_of universe docker_image container_image && return
        fail "No 'executable' parameter was provided" "ERROR: No 'executable' parameter was provided"
    fi
    expand "$value"
    trim "$out"
    executable=$trimmed
    [ -n "$executable" ] ||
        fail "No 'executable' parameter was provided" "ERROR: No 'executable' parameter was provided"
    value_of transfer_executable transferexecutable my_transferexecutable && expand "$value" && trim "$out" &&
        case $trimmed in [Ff]* | [Nn]* | 0) return ;; esac
    [ "$executable" != "$last_executable" ] || return 0
    last_executable=$executable
    case $executable in *"$STAR"*)
        want "$executable"
        return
        ;;
    esac
    [ -e "$executable" ] || fail "Can't access executable file $executable: No such file or directory"
    [ -s "$executable" ] || fail "Executable file $executable has zero length"
    case $executable in
        # The image of the workers has these.
        /bin/* | /sbin/* | /usr/* | /lib*/* | /opt/* | /cvmfs/* | /etc/*) return ;;
    esac
    { [ -f "$executable" ] && IFS= read -r line < "$executable"; } 2> /dev/null || line=''
    case $crlf,$line in
        allowed,*) ;;
        *,'#!'*"$CR")
            fail "Executable file $executable is a script with CRLF (DOS/Windows) line endings." "
ERROR: Executable file $executable is a script with CRLF (DOS/Windows) line endings.
Its first line names no program; convert it (dos2unix $executable) before you submit." ;;
    esac
    want "$executable"
}

# want_list NAMES: between commas, perhaps in quotes as a ClassAd has them.
want_list() {
    trim "$1"
    case $trimmed in '"'*'"') trimmed=${trimmed#?} && trimmed=${trimmed%?} ;; esac
    IFS=,
    # shellcheck disable=SC2086 # names
    set -- $trimmed
    IFS=" $TAB$NEWLINE"
    for name; do
        trim "$name"
        want_in_folder "$trimmed"
    done
}

want_in_folder() {
    case $1,$folder in
        ,* | *://* | /dev/null,*) ;;
        /*,* | *,) want "$1" ;;
        *) want "$folder/$1" ;;
    esac
}

# want NAME: notes a file for the copying; a $STAR in it stands for everything that fits.
want() {
    case $1 in *"$STAR"*)
        want_all "$1"
        return
        ;;
    esac
    case $1 in *["$TAB$NEWLINE"]*) unsupported "a tab or a line end in the name of the file '$1'" ;; esac
    normalise "$1"
    [ "$normal" != "$last_wanted" ] || return 0
    last_wanted=$normal
    printf '%s\n' "$normal" >&9 || broken "$normal"
}

want_all() {
    pattern='' left=$1
    while [ -n "$left" ]; do
        character=${left%"${left#?}"} left=${left#?}
        case $character in
            "$STAR") pattern="$pattern*" ;;
            [\*\?\[\\]) pattern="$pattern\\$character" ;;
            *) pattern=$pattern$character ;;
        esac
    done
    IFS=''
    set +f
    for found in $pattern; do
        set -f
        [ ! -e "$found" ] || want "$found"
    done
    set -f
    IFS=" $TAB$NEWLINE"
}

# Without ./, // and a / at the end.
normalise() {
    normal=$1
    while case $normal in *//*) ;; *) false ;; esac; do normal=${normal%%//*}/${normal#*//}; done
    while case $normal in */./*) ;; *) false ;; esac; do normal=${normal%%/./*}/${normal#*/./}; done
    while case $normal in ./?*) ;; *) false ;; esac; do normal=${normal#./}; done
    while case $normal in ?*/ | ?*/.) ;; *) false ;; esac; do normal=${normal%/*}; done
}

# ── copies ──────────────────────────────────────────────────────────────────────────────────────────────────────

leave_out() {
    printf '%s\t%s\n' "$1" "$2" >> "$call/left-out" || broken "$1"
}

# stored_as NAME: the place of the copy below the call's folder.
stored_as() {
    case $1 in
        /*) stored=stored/abs$1 ;;
        *) stored=stored/in/$1 ;;
    esac
    case /$1/ in */../*)
        while case $stored/ in */../*) ;; *) false ;; esac; do
            stored=$stored/
            stored=${stored%%/../*}/__up__/${stored#*/../}
            stored=${stored%/}
        done
        ;;
    esac
}

# first_time KIND: whether `stored` is new here. A mark is an empty file, whose name has tabs for strokes.
first_time() {
    IFS=/
    # shellcheck disable=SC2086 # the parts of a path
    set -- "$1" $stored
    IFS=$TAB
    kind=$1
    shift
    mark="$scratch/$kind/$*"
    IFS=" $TAB$NEWLINE"
    [ ! -e "$mark" ] || return 1
    # Too long for a name: then it is new each time, and copied once all the same.
    { : > "$mark"; } 2> /dev/null || :
}

# What is in a file that nobody but its owner may have; an artifact can be read by many.
holds_secret() {
    secret=$(sed -n -e '/-----BEGIN [A-Z0-9 ]*PRIVATE KEY/{s/.*/a private key/p;q;}' \
        -e '/glpat-[A-Za-z0-9_-]\{20,\}/{s/.*/a token/p;q;}' -e '/zteos64:[A-Za-z0-9_+/=-]\{20,\}/{s/.*/a token/p;q;}' \
        -e '/eyJ[A-Za-z0-9_-]\{10,\}\.eyJ[A-Za-z0-9_-]\{10,\}\./{s/.*/a token/p;q;}' "$@")
    [ -n "$secret" ]
}

is_credential() {
    case $1 in
        "./${X509_USER_PROXY:-/}" | "${X509_USER_PROXY:-/}" | "./${BEARER_TOKEN_FILE:-/}" | "${BEARER_TOKEN_FILE:-/}") ;;
        */x509up_u* | */bt_u[0-9]* | */krb5cc_* | *.keytab | */.netrc | */.globus/*) ;;
        *) return 1 ;;
    esac
}

# A proxy that another machine or project has: HTCondor would refuse the call, and septum brings one of its own.
is_proxy_elsewhere() {
    case ${1##*/} in
        *[Pp]roxy* | *.proxy | x509*) ;;
        *) return 1 ;;
    esac
}

# copy_all: everything in the file `wanted`.
copy_all() {
    batched=0
    while IFS= read -r name <&3; do
        copy_one "$name"
    done 3< "$scratch/wanted"
    flush
}

copy_one() {
    stored_as "$1"
    case $1 in
        /*) path=$1 ;;
        *) path=./$1 ;;
    esac
    if [ -d "$path" ]; then
        if is_credential "$path"; then
            leave_out "$1" "its name is that of a credential"
        elif first_time folders; then
            mkdir -p "$call/$stored" || broken "$1"
            printf '%s\t%s\n' "$1" "$stored" >> "$call/files" || broken "$1"
            walk "${path%/}"
        fi
        return
    fi
    first_time names || return 0
    add_to_batch "$1" "$path" "$stored" named
}

# walk FOLDER: all below, links followed, but for links to a folder above.
walk() {
    set +f
    set -- "$1" "$1"/* "$1"/.[!.]* "$1"/..?*
    set -f
    shift
    for entry; do
        [ -e "$entry" ] || [ -L "$entry" ] || continue
        case $entry in *["$TAB$NEWLINE"]*) unsupported "a tab or a line end in the name of '$entry'" ;; esac
        from=${entry%/*}
        stored_as "${from#./}"
        if [ -d "$entry" ]; then
            if [ -e "$entry/.recording" ]; then
                continue
            elif [ -L "$entry" ] && leads_up "$entry"; then
                leave_out "${entry#./}" "a link to a folder above it"
            elif is_credential "$entry"; then
                leave_out "${entry#./}" "its name is that of a credential"
            else
                mkdir -p "$call/$stored/${entry##*/}" || broken "$entry"
                walk "$entry"
            fi
        else
            add_to_batch "${entry#./}" "$entry" "$stored/${entry##*/}" inside
        fi
    done
}

leads_up() {
    target=$(cd -P "$1" && pwd) && parent=$(cd -P "${1%/*}" && pwd) || return 0
    case $parent/ in "${target%/}"/*) ;; *) return 1 ;; esac
}

broken() {
    fail "'$1' cannot be copied to the recording, perhaps for lack of space" \
        "septum: '$1' cannot be copied to the recording, perhaps for lack of space"
}

# add_to_batch NAME PATH STORED named|inside
add_to_batch() {
    if is_credential "$2"; then
        leave_out "$1" "its name is that of a credential"
    elif [ ! -e "$2" ] && is_proxy_elsewhere "$1"; then
        leave_out "$1" "not found, and its name is that of a credential"
    elif [ ! -e "$2" ]; then
        leave_out "$1" "not found"
        case $4 in named) missing="$missing $1" ;; esac
    elif [ ! -f "$2" ]; then
        leave_out "$1" "neither a file nor a folder"
    elif [ ! -r "$2" ]; then
        leave_out "$1" "cannot be read"
    else
        batched=$((batched + 1))
        printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >> "$scratch/batch" || broken "$1"
        [ "$batched" -lt 100 ] || flush
    fi
}

# Looks at many files at once, and copies each.
flush() {
    [ "$batched" -gt 0 ] || return 0
    set --
    while IFS=$TAB read -r name path stored role <&4; do
        set -- "$@" "$call/${stored%/*}"
    done 4< "$scratch/batch"
    mkdir -p "$@" || broken "$name"
    set --
    while IFS=$TAB read -r name path stored role <&4; do
        set -- "$@" "$path"
    done 4< "$scratch/batch"
    weigh "$@"
    suspicious=''
    ! holds_secret "$@" || suspicious=yes
    while IFS=$TAB read -r name path stored role <&4; do
        if [ -n "$suspicious" ] && holds_secret "$path"; then
            leave_out "$name" "it holds $secret"
            continue
        fi
        [ -e "$call/$stored" ] || cp "$path" "$call/$stored" || broken "$name"
        [ "$role" = named ] || continue
        printf '%s\t%s\n' "$name" "$stored" >> "$call/files" || broken "$name"
    done 4< "$scratch/batch"
    : > "$scratch/batch"
    batched=0
}

weigh() {
    ls -lnLd "$@" > "$scratch/sizes" || broken "$1"
    # shellcheck disable=SC2034 # columns between
    while read -r rights links owner group size others; do
        bytes=$((bytes + size))
    done < "$scratch/sizes"
    [ $((bytes >> 20)) -lt "$max_mb" ] || unsupported "the jobs take along more than $max_mb MB: put large inputs where \
the workers read them (root://, /cvmfs), or set SEPTUM_RECORDING_MAX_MB"
}
