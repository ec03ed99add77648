#!/bin/sh
# Builds what 'septum pack-image' has packed, and pushes it. Runs where buildah is; needs neither Python nor septum.
set -eu
umask 077
cd "$(dirname "$0")"
# A runner may still have that of an earlier pipeline.
rm -f image.env
image=$(cat image) tag=$(cat tag) content=$(cat content) login=$(cat login)

fail() { # exit code, code, what, fix
  printf 'septum: %s [%s]\n  Fix: %s\n' "$3" "$2" "$4" >&2
  exit "$1"
}

finish() { # digest
  case $1 in sha256:????????????????????????????????????????????????????????????????) ;;
    *) fail 3 E011 "image: buildah gave no digest for $image:$tag" "see what it printed above" ;;
  esac
  printf 'SEPTUM_BUILT_IMAGE=%s\nSEPTUM_BUILT_TAG=%s\n' "$image@$1" "$tag" > image.env.new
  mv image.env.new image.env
  printf 'SEPTUM_BUILT_IMAGE=%s\n' "$image@$1"
  exit 0
}

if [ -s digest ]; then
  printf '%s\n' "The registry has $image:$tag already, of the same content: nothing is built."
  finish "$(cat digest)"
fi
command -v buildah > /dev/null ||
  fail 2 E011 "image: this container has no buildah" "leave out the input 'builder-image', or name an image that has it"

# Without privileges: no mounts, no namespaces of its own. A runner that can do more says so by a variable.
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}" STORAGE_DRIVER="${STORAGE_DRIVER:-vfs}"
work=$(mktemp -d)
trap 'rm -rf "$work" 2> /dev/null || :' EXIT
trap 'exit 143' TERM INT HUP
export REGISTRY_AUTH_FILE="$work/auth.json"
# GitLab's own variable for registries that base images come from.
[ -z "${DOCKER_AUTH_CONFIG:-}" ] || printf '%s\n' "$DOCKER_AUTH_CONFIG" > "$REGISTRY_AUTH_FILE"
mkdir "$work/certificates"
[ ! -f "${CI_SERVER_TLS_CA_FILE:-}" ] || cp "$CI_SERVER_TLS_CA_FILE" "$work/certificates/ca.crt"

case $login in
  CI_REGISTRY) user=${CI_REGISTRY_USER:-} password=${CI_REGISTRY_PASSWORD:-} ;;
  *) user=${SEPTUM_REGISTRY_USER:-} password=${SEPTUM_REGISTRY_PASSWORD:-} ;;
esac
[ ! -f "$password" ] || password=$(cat "$password")
printf '%s' "$password" |
  buildah login --cert-dir "$work/certificates" --username "$user" --password-stdin "${image%%/*}" ||
  fail 13 E115 "image: the registry ${image%%/*} does not take the login" "see what it said above; check ${login}_USER"

# Another pipeline, or this CI job before a retry, may have pushed since the registry was asked. In a storage of its own:
# beside an image that was built here, buildah takes the digest of that one.
aside() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
if aside pull --quiet --cert-dir "$work/certificates" "docker://$image:$tag" > /dev/null 2>&1; then
  label='{{index .OCIv1.Config.Labels "ch.cern.cms-analysis.septum.content"}}'
  [ "$(aside inspect --type image --format "$label" "$image:$tag")" = "$content" ] ||
    fail 2 E012 "image: the registry has another image under $image:$tag by now" "choose another tag"
  printf '%s\n' "The registry has $image:$tag by now, of the same content: nothing is built."
  finish "$(aside inspect --type image --format '{{.FromImageDigest}}' "$image:$tag")"
fi

# buildah would raise these limits, which a container without privileges may not.
limit() { sed -n "s/^$1  *\([^ ]*\)  *\([^ ]*\) .*/\1:\2/p" /proc/self/limits | sed 's/unlimited/-1/g'; }
set -- "--ulimit=nofile=$(limit 'Max open files')" "--ulimit=nproc=$(limit 'Max processes')"
while IFS= read -r word; do set -- "$@" "$word"; done < options
buildah build "$@" --format oci --cert-dir "$work/certificates" --file "$PWD/Containerfile" --tag "$image:$tag" - \
  < context.tar || fail 3 E011 "image: the Containerfile could not be built" "see the step above at which it stopped"

if ! buildah push --quiet --format oci --cert-dir "$work/certificates" --digestfile "$work/digest" "$image:$tag" \
  2> "$work/said"; then
  cat "$work/said" >&2
  if grep -qiE 'denied|unauthorized|forbidden' "$work/said"; then
    fail 13 E115 "image: the registry does not let this CI job push $image" "check ${login}_USER, and what it may do"
  fi
  fail 75 E755 "image: $image:$tag could not be pushed" "try again later; the registry said why above"
fi
finish "$(cat "$work/digest")"
