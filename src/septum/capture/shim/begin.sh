#!/bin/sh
# Sourced by the shell that runs a framework, before it: puts the condor_submit that records first on PATH, empties the
# recording, hides what the framework has no need of, and decodes the proxy. Leaves the caller's options as they were.
#
#   SEPTUM_RECORDING       the recording; else $SEPTUM_STATE/recording
#   SEPTUM_PROXY_VARIABLE  the name of the variable with the proxy, base64 or PEM, if there is one
#   SEPTUM_HIDDEN          names of more variables that the framework does not get
#
# A file `settings` beside this one may set the last two.

# What follows is never traced: it handles secrets.
case $- in
    *x*)
        { set +x; } 2> /dev/null
        septum_traced=yes
        ;;
    *) septum_traced= ;;
esac

septum_stop() {
    printf 'septum: %s\n' "$1" >&2
    exit 2
}

septum_places() {
    SEPTUM_RECORDING=${SEPTUM_RECORDING:-${SEPTUM_STATE:-.septum}/recording}
    case $SEPTUM_RECORDING in
        /*) ;;
        *) SEPTUM_RECORDING=${CI_PROJECT_DIR:-$PWD}/$SEPTUM_RECORDING ;;
    esac
    case $SEPTUM_RECORDING in
        */*/recording) ;;
        *) septum_stop "SEPTUM_RECORDING=$SEPTUM_RECORDING: the last folder of its path must be called recording" ;;
    esac
    septum_recorder=''
    for septum_found in "${SEPTUM_RECORDING%/*}"/*/bin/condor_submit; do
        [ ! -f "${septum_found%/*/*}/begin.sh" ] || septum_recorder=${septum_found%/*/*}
    done
    [ -n "$septum_recorder" ] || septum_stop "there is no recorder in ${SEPTUM_RECORDING%/*}: is its artifact here?"
    rm -rf "$SEPTUM_RECORDING"
    mkdir -p "$SEPTUM_RECORDING" || septum_stop "cannot write to $SEPTUM_RECORDING"
    printf '%s\n' "$PWD" > "$SEPTUM_RECORDING/.recording" || septum_stop "cannot write to $SEPTUM_RECORDING"
    # An artifact may have lost it on its way.
    chmod u+x "$septum_recorder"/bin/* || septum_stop "cannot make $septum_recorder/bin executable"
    PATH=$septum_recorder/bin:$PATH
    # For a framework that calls it with an environment of its own.
    printf '%s\n' "$SEPTUM_RECORDING" > "$septum_recorder/place" || septum_stop "cannot write to $septum_recorder"
    PYTHONPATH=$septum_recorder/python${PYTHONPATH:+:$PYTHONPATH}
    export PATH PYTHONPATH SEPTUM_RECORDING
    # The framework may leave its folder: what comes after it finds its way all the same.
    pwd > "$septum_recorder/folder" || septum_stop "cannot write to $septum_recorder"
    case ${SEPTUM_STATE:-/} in
        /*) ;;
        *) SEPTUM_STATE=${CI_PROJECT_DIR:-$PWD}/$SEPTUM_STATE ;;
    esac
    # HTCondor's Python bindings, and its other programs, find no cluster: what they submit could not be recorded.
    CONDOR_CONFIG=ONLY_ENV
    _condor_COLLECTOR_HOST=septum-records-condor-submit-alone.invalid
    _condor_SCHEDD_HOST=$_condor_COLLECTOR_HOST
    _condor_SEC_CLIENT_AUTHENTICATION_METHODS=ANONYMOUS
    export CONDOR_CONFIG _condor_COLLECTOR_HOST _condor_SCHEDD_HOST _condor_SEC_CLIENT_AUTHENTICATION_METHODS
}

# septum_decode VALUE FILE: base64 in one line or many, PEM, or the path of a file with one of them.
septum_decode() {
    case $1 in
        *-----BEGIN*) printf '%s\n' "$1" > "$2" ;;
        *)
            if [ -f "$1" ]; then
                case $(cat "$1") in
                    *-----BEGIN*) cat "$1" > "$2" ;;
                    *) tr -d ' \t\r\n' < "$1" | base64 -d > "$2" 2> /dev/null ;;
                esac
            else
                printf '%s' "$1" | tr -d ' \t\r\n' | base64 -d > "$2" 2> /dev/null
            fi
            ;;
    esac
}

septum_proxy() {
    case ${SEPTUM_PROXY_VARIABLE-} in
        '') return 0 ;;
        [0-9]* | *[!A-Za-z0-9_]*) septum_stop "SEPTUM_PROXY_VARIABLE is not the name of a variable" ;;
    esac
    eval "septum_value=\${$SEPTUM_PROXY_VARIABLE-}"
    unset "$SEPTUM_PROXY_VARIABLE"
    [ -n "$septum_value" ] || return 0
    septum_room=${TMPDIR:-/tmp}
    case $septum_room/ in "${CI_PROJECT_DIR:-$PWD}"/*) septum_room=/tmp ;; esac
    septum_mask=$(umask)
    umask 077
    septum_room=$(mktemp -d "$septum_room/septum-proxy.XXXXXX") || septum_stop "cannot make a folder for the proxy"
    printf '%s\n' "$septum_room" > "$septum_recorder/proxy" || septum_stop "cannot write to $septum_recorder"
    septum_old_trap=''
    septum_read_trap
    trap 'sh "$septum_recorder/tidy.sh"; eval "$septum_old_trap"' EXIT
    septum_decode "$septum_value" "$septum_room/proxy" || : > "$septum_room/proxy"
    septum_value=''
    umask "$septum_mask"
    for septum_found in 'CERTIFICATE-----' 'PRIVATE KEY-----'; do
        [ -n "$(sed -n "/^-----BEGIN [A-Z ]*$septum_found/p" "$septum_room/proxy")" ] ||
            septum_stop "the variable $SEPTUM_PROXY_VARIABLE holds no proxy: no ${septum_found%-----} in it; set it to the \
output of: base64 -w0 < \"\$(voms-proxy-info -path)\""
    done
    X509_USER_PROXY=$septum_room/proxy
    export X509_USER_PROXY
}

# What the caller's shell does at its end stays, and comes after ours.
septum_read_trap() {
    trap > "$septum_room/traps"
    if [ -s "$septum_room/traps" ]; then
        sed "s/^trap -- '/septum_seen '/" "$septum_room/traps" > "$septum_room/seen"
        # shellcheck source=/dev/null # the line above writes it
        . "$septum_room/seen"
    fi
    rm -f "$septum_room/traps" "$septum_room/seen"
}

septum_seen() {
    case ${2-} in EXIT | 0) septum_old_trap=$1 ;; esac
}

# As for the lines under `prepare`: names that look like secrets, GitLab's own, and passwords within addresses.
septum_hide() {
    export -p | sed -n 's/^[a-z]* \(-[a-z]* \)*\([A-Za-z_][A-Za-z0-9_]*\)=.*/\2/p' > "$SEPTUM_RECORDING/.names"
    while read -r septum_found; do
        eval "septum_value=\${$septum_found-}"
        case $(printf '%s' "_${septum_found}_" | tr '[:lower:]' '[:upper:]') in
            _BEARER_TOKEN_FILE_ | _X509_USER_PROXY_ | _X509_CERT_DIR_ | _X509_VOMS_DIR_ | _KRB5CCNAME_ | _PWD_ | _OLDPWD_) ;;
            _GITLAB_* | *TOKEN* | *SECRET* | *PASSW* | *PASSPHRASE* | *CREDENTIAL* | *PRIVATE* | *X509_PROXY* | *SSHPASS* | \
                *NETRC* | *KUBECONFIG* | *_KEY_* | *_JWT_* | *_AUTH_* | *_PASS_* | *_PWD_* | _PROXY_ | _VOMS_PROXY_ | \
                _VOMSPROXY_ | _GRID_PROXY_ | _GRIDPROXY_) unset "$septum_found" ;;
            *) case $septum_value in *://*:*@*) unset "$septum_found" ;; esac ;;
        esac
    done < "$SEPTUM_RECORDING/.names"
    septum_value=''
    rm -f "$SEPTUM_RECORDING/.names"
    for septum_found in ${SEPTUM_HIDDEN-}; do
        case $septum_found in
            [0-9]* | *[!A-Za-z0-9_]*) ;;
            *) unset "$septum_found" ;;
        esac
    done
}

septum_places
# shellcheck source=/dev/null # septum writes it
[ ! -f "$septum_recorder/settings" ] || . "$septum_recorder/settings"
septum_proxy
septum_hide
if [ -n "$septum_traced" ]; then set -x; fi
