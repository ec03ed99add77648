"""Each credential of the profile by itself: the service that gives it, what it is, and how long it lives.

Each is obtained as a run does it, by `septum.credentials.obtain`, with a profile that asks for this one alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from septum.credentials.choose import require_variables
from septum.credentials.held import SUPERVISED, Credentials
from septum.credentials.provider import Kind
from septum.doctor.analysis import PROFILE, require_keys, run_time_s
from septum.doctor.report import Outcome, Skip, ok, warning
from septum.doctor.runner import Context, Key
from septum.errors import CredentialMissingError, TokenRefusedError, TokenUnfitError
from septum.units import count, show_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from septum.clusters.profile import Profile
    from septum.credentials.held import Held

_ISSUER_S = 30.0
_OK = 200
_NOTHING: Mapping[str, Any] = {
    "credentials": "none",
    "storage_audience": "",
    "proxy": "no",
    "eos_broker": "",
    "authentication": "none",
}
"""Changes to a profile after which it asks for no credential; its CA certificates stay."""
_SKEW = "this machine's clock and the issuer's"


@dataclass(frozen=True, slots=True)
class Answered:
    """The issuer's clock and ours, when it answered; in seconds since 1970."""

    issuer: float | None
    here: float


CA: Key[Credentials] = Key("CA")
ISSUER: Key[Answered] = Key("issuer")
TOKEN: Key[Credentials] = Key("token")
STORAGE_TOKEN: Key[Credentials] = Key("storage token")
EOS_TOKEN: Key[Credentials] = Key("EOS token")
PROXY: Key[Credentials] = Key("proxy")
KERBEROS: Key[Credentials] = Key("Kerberos")
ALL = (TOKEN, STORAGE_TOKEN, EOS_TOKEN, PROXY, KERBEROS)


def place(context: Context) -> Outcome:
    """There is a place for credential files outside the checkout, and nothing of killed processes in it."""
    from septum.credentials.store import Store, sweep

    if folder := context.environ.get(SUPERVISED):
        return ok(f"{folder}, of 'septum credentials run'")
    swept = len(list(sweep(context.environ)))
    with Store.create(context.environ) as store:
        where = store.folder.parent
    gone = f"; deleted {count(swept, 'folder')} of killed processes" if swept else ""
    return ok(f"files of 0600 below {where}{gone}")


def authorities(context: Context) -> Outcome:
    """The CA certificates of the site's hosts can be read, and have not all expired."""
    profile = context.need(PROFILE).profile
    found = _obtain(context, _NOTHING)
    name = profile.ca_variable if profile.ca_variable and context.environ.get(profile.ca_variable) else profile.ca_file
    text = f"the system's, and those in {name}" if found.ca_file is not None else "the system's"
    if found.warnings and not context.environ.get(SUPERVISED):
        return warning(
            found.warnings[0],
            cause="a site with a CA of its own is not trusted without its certificates",
            fix="Put the site's CA certificates (PEM) into a CI variable of type file, with the name that the profile "
            "has at ca-variable.",
            value=found,
        )
    return ok(text, found)


def issuer(context: Context) -> Outcome:
    """The token issuer answers, its certificate is accepted, and it calls itself what the profile calls it."""
    from septum.credentials.https import Https
    from septum.credentials.iam import as_json

    profile = context.need(PROFILE).profile
    require_keys(context, "issuer")
    url = profile.issuer.rstrip("/") + "/.well-known/openid-configuration"
    https = Https(ca_file=context.need(CA).ca_file, attempts=2, deadline_s=_ISSUER_S)
    answer = https.call("GET", url, headers=lambda: {"Accept": "application/json"})
    data = as_json(answer)
    if answer.status != _OK or not isinstance(data, dict):
        raise TokenRefusedError(
            f"there is no token issuer at {profile.issuer}",
            evidence=f"{url}: HTTP {answer.status}" + ("" if isinstance(data, dict) else ", not JSON"),
            fix="Correct the profile's issuer (SEPTUM_CLUSTER_ISSUER).",
        )
    name = str(data.get("issuer", ""))[:200]
    if name != profile.issuer:
        slash = " Only the slash at the end differs." if name.rstrip("/") == profile.issuer.rstrip("/") else ""
        raise TokenUnfitError(
            f"the issuer calls itself {name!r}, the profile calls it {profile.issuer!r}",
            evidence=url,
            fix=f"Write it exactly as the issuer does (SEPTUM_CLUSTER_ISSUER).{slash}",
        )
    return ok(f"{profile.issuer} answers", Answered(answer.date, context.clock()))


def clock(context: Context) -> Outcome:
    """This machine's clock and the issuer's show the same time."""
    from septum.credentials.token import skew_warning

    answered = context.need(ISSUER)
    if answered.issuer is None:
        raise Skip("the issuer does not say what time it has")
    found = skew_warning(answered.issuer, answered.here)
    if not found:
        return ok(f"within {max(1.0, abs(answered.issuer - answered.here)):.0f} s of the issuer's")
    ahead = "ahead" if answered.here > answered.issuer else "behind"
    return warning(
        found[0],
        cause=f"this machine is {ahead}; tokens, proxies and tickets are judged by dates",
        fix="Set the clock by NTP; in a container, that of its host. (date -u shows it.)",
    )


# ── credentials ─────────────────────────────────────────────────────────────────────────────────────────────────


def token(context: Context) -> Outcome:
    """The token for the access point is granted, and is the one that was asked for."""
    profile = context.need(PROFILE).profile
    _require_keys(context, profile)
    found, held, warnings = _one(context, Kind.TOKEN, {"credentials": profile.credentials})
    whom = held.identity if profile.credentials == "access-token" else f"for {profile.audience or 'any audience'}"
    text = f"{held.source}; {whom}; {_life(context, held)}"
    if warnings:
        fix = "Ask the issuer's admin to let the client have them, or ask for less with SEPTUM_CLUSTER_SCOPE."
        return warning(text, cause="\n".join(warnings), fix=fix, value=found)
    return ok(text + (f"; {count(len(profile.scope), 'scope')} as asked" if profile.scope else ""), found)


def storage_token(context: Context) -> Outcome:
    """The second token, for storage."""
    profile = context.need(PROFILE).profile
    _require_keys(context, profile)
    require_keys(context, "storage-scope")
    changes = {
        "credentials": profile.credentials,
        "audience": profile.storage_audience,
        "scope": profile.storage_scope,
    }
    found, held, warnings = _one(context, Kind.STORAGE_TOKEN, changes)
    if held.kind is Kind.TOKEN:  # it was asked for as the only one
        held.kind = Kind.STORAGE_TOKEN
        found.held = {Kind.STORAGE_TOKEN: held}
    text = f"{held.source}; for {profile.storage_audience}; {_life(context, held)}"
    if warnings:
        fix = "Ask the issuer's admin to let the client have them, or ask for less with SEPTUM_CLUSTER_STORAGE_SCOPE."
        return warning(text, cause="\n".join(warnings), fix=fix, value=found)
    return ok(text, found)


def eos_token(context: Context) -> Outcome:
    """The token of EOS for one path."""
    profile = context.need(PROFILE).profile
    require_keys(context, "eos-path")
    found, held, _ = _one(context, Kind.EOS_TOKEN, {"eos_broker": profile.eos_broker})
    return ok(f"{held.source}; {held.identity}", found)


def proxy(context: Context) -> Outcome:
    """The X.509 proxy is whole, of the right VO, and lives as long as a job may need it."""
    profile = context.need(PROFILE).profile
    require_keys(context, "proxy-variable", "proxy-broker")
    found, held, warnings = _one(context, Kind.PROXY, {"proxy": profile.proxy})
    need_s = run_time_s(context) + (profile.queue_time if profile.method != "local" else 0)
    found.require_life(context.clock(), need_s)
    text = f"{held.source}; {held.identity}; {_life(context, held)}"
    if held.identity == "no VO":
        warnings = [*warnings, "storage of a VO lets nobody in without its attributes"]
    if warnings:
        fix = f"voms-proxy-init --rfc --voms {profile.expect_vo or 'cms'} --valid 96:00, and store it anew"
        return warning(text, cause="\n".join(warnings), fix=fix, value=found)
    return ok(f"{text}, a job may need it for {show_duration(need_s)}", found)


def kerberos(context: Context) -> Outcome:
    """`kinit` is there, and the realm gives a ticket."""
    found, held, warnings = _one(context, Kind.TICKET, {"authentication": "kerberos"})
    text = f"{held.source}; {held.identity}; {_life(context, held)}"
    if warnings:
        return warning(text, cause="\n".join(warnings), value=found)
    return ok(text, found)


def together(context: Context) -> Credentials:
    """All credentials that could be had, as a run has them."""
    base = context.value(CA)
    found = Credentials(base.folder if base is not None else Path(os.devnull))
    found.ca_file = base.ca_file if base is not None else None
    for key in ALL:
        if (one := context.value(key)) is not None:
            found.held.update(one.held)
    return found


def _one(context: Context, kind: Kind, asks: Mapping[str, Any]) -> tuple[Credentials, Held, list[str]]:
    """Obtain one credential.

    Returns:
        What holds it, itself, and warnings that no other check shows.

    Raises:
        Skip: Its variables are absent, which another check reports; or nobody insists on it.
        SeptumError: It cannot be had.
    """
    changes = {**_NOTHING, **asks}
    profile = context.need(PROFILE).profile
    if context.environ.get(SUPERVISED):
        found = Credentials(Path(os.devnull))
        supervised = context.need(CA)
        found.ca_file = supervised.ca_file
        if kind in supervised.held:
            found.held = {kind: supervised.held[kind]}
    else:
        try:
            require_variables(profile.model_copy(update=changes), context.environ)
        except CredentialMissingError as error:
            raise Skip("because its variables are not set") from error
        found = _obtain(context, changes)
    held = next(iter(found.held.values()), None)
    if held is None and kind is Kind.PROXY and profile.proxy == "optional":
        raise Skip("there is none, and the profile does not insist on one")
    if held is None or held.expires_at <= context.clock():
        raise CredentialMissingError(
            f"'septum credentials run' has no {KINDS[kind]}" + (" that is still valid" if held else ""),
            fix="Start the command again with 'septum credentials run -- …', with the same cluster.",
        )
    known = context.need(CA).warnings
    return found, held, [line for line in found.warnings if line not in known and not line.startswith(_SKEW)]


KINDS = {
    Kind.TOKEN: TOKEN.name,
    Kind.STORAGE_TOKEN: STORAGE_TOKEN.name,
    Kind.EOS_TOKEN: EOS_TOKEN.name,
    Kind.PROXY: PROXY.name,
    Kind.TICKET: "Kerberos ticket",
}


def _obtain(context: Context, changes: Mapping[str, Any]) -> Credentials:
    from septum.credentials import obtain

    profile = context.need(PROFILE).profile
    # Under a supervisor, all is there already, and for the whole profile.
    asked = profile if context.environ.get(SUPERVISED) else profile.model_copy(update=dict(changes))
    return context.keep.enter_context(obtain(asked, environ=context.environ, clock=context.clock))


def _require_keys(context: Context, profile: Profile) -> None:
    keys: dict[str, tuple[str, ...]] = {
        "iam-client": ("issuer", "audience", "scope"),
        "broker": ("token-broker", "audience", "scope"),
    }
    keys["access-token"] = ("access-token-variable",)
    require_keys(context, *keys.get(profile.credentials, ()))


def _life(context: Context, held: Held) -> str:
    return held.life(context.clock())
