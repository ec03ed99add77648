"""Look at an access token: is it the one that was asked for? Pure.

The signature is not verified, on purpose: the token comes from the issuer itself over verified TLS, and the cluster
verifies the signature at every use. What is checked here are the mistakes that a cluster answers without a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from septum.credentials.provider import Grant
from septum.credentials.secret import Secret
from septum.errors import IdentityError, TokenUnfitError
from septum.units import show_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# HTCondor reads no longer token; XRootD's `ztn` by default none above the smaller limit.
_MAX_CHARACTERS = 16 * 1024
_ZTN_CHARACTERS = 4096
ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
"""What an IAM puts into a token for every service (WLCG Common JWT Profile 1.3)."""
_WLCG_VERSION = "1.0"
_CLOCK_SKEW_S = 60
_END_OF_TIME = 2.0**53  # JSON may also say Infinity and NaN


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and what was seen in it.

    Args:
        value: The token.
        expires_at: Seconds since 1970, by this machine's clock.
        subject: Whom the issuer made it for; for a client its id.
        scopes: What it allows.
        warnings: What is not as asked, and not fatal.
        ahead_s: How far this machine's clock is ahead of the issuer's; 0 if they agree.
    """

    value: Secret
    expires_at: float
    subject: str
    scopes: frozenset[str]
    warnings: tuple[str, ...] = ()
    ahead_s: float = 0.0

    def grant(self, source: str) -> Grant:
        """The token as a file without a line end: HTCondor and XRootD take a file as it is."""
        return Grant(
            content=self.value.reveal().encode(),
            expires_at=self.expires_at,
            identity=self.subject or source,
            warnings=self.warnings,
            ahead_s=self.ahead_s,
        )


def check_token(
    text: object,
    *,
    issuer: str,
    audience: str,
    scopes: Sequence[str],
    now: float,
    subject: str = "",
    exact: bool = True,
    issuer_time: float | None = None,
    wlcg: bool = True,
) -> Token:
    """Compare a token with what was asked for.

    Args:
        text: The `access_token` of the issuer's answer.
        issuer: As the profile has it; empty for any.
        audience: As asked; empty for any.
        scopes: As asked.
        now: Seconds since 1970.
        subject: For whom it must speak; empty for anybody.
        exact: Whether a token that allows more than was asked for is refused; one that septum did not ask for is not.
        issuer_time: The issuer's clock when it gave the token, in seconds since 1970; None if it is not known. Those
            who judge the token have the time of the issuer, so how long it lives is counted from there.
        wlcg: Whether it must follow the WLCG profile, by which HTCondor and storage know what it allows. What a token
            allows in other services is theirs to say, in claims of their own.

    Raises:
        TokenUnfitError: It is another token; says in which claim.
        IdentityError: It speaks for another subject.
    """
    problem = _form_problem(text)
    value = Secret(text if isinstance(text, str) and not problem else "")
    del text  # what is refused below may still be good elsewhere; it is in no variable of this frame
    if problem:
        raise _unfit(problem, issuer)
    claims = _claims(value.reveal())
    if claims is None:
        raise _unfit("the access token's claims cannot be read", issuer)
    ahead_s = _ahead_s(claims, issuer_time, now)
    expires_at = _check_claims(claims, issuer, audience, now - ahead_s, wlcg=wlcg) + ahead_s
    granted = frozenset(str(claims.get("scope", "")).split())
    if wlcg and exact and (more := sorted(granted - set(scopes))):
        raise _unfit(
            f"the token allows more than was asked for: {', '.join(more)}",
            issuer,
            evidence=f"asked was {' '.join(scopes)}",
            fix="Ask the issuer's admin why, or ask for these scopes, too, with SEPTUM_CLUSTER_SCOPE.",
        )
    found = str(claims.get("sub", ""))
    if subject and found != subject:
        raise IdentityError(
            f"the token speaks for {found!r}, the profile expects {subject!r}",
            evidence=f"issuer {issuer}",
            fix="Check the client's id in the CI variables, or correct SEPTUM_CLUSTER_EXPECT_SUBJECT.",
        )
    return Token(
        value=value,
        expires_at=expires_at,
        subject=found,
        scopes=granted,
        warnings=(*_scope_warnings(set(scopes), granted), *(_length_warning(value) if wlcg else ())),
        ahead_s=ahead_s,
    )


def end_of(text: str) -> float | None:
    """When a token ends by its own word, in seconds since 1970; None if it is no JWT, or does not say."""
    claims = _claims(text) if _JWT.fullmatch(text) else None
    ends = (claims or {}).get("exp")
    if not isinstance(ends, (int, float)) or isinstance(ends, bool) or not abs(ends) < _END_OF_TIME:
        return None
    return float(ends)


def _form_problem(text: object) -> str:
    if not isinstance(text, str) or not _JWT.fullmatch(text):
        return "the issuer's answer holds no access token in the form of a JWT"
    if len(text) > _MAX_CHARACTERS:
        return f"the access token has more than {_MAX_CHARACTERS} characters, which HTCondor does not read"
    return ""


def _length_warning(value: Secret) -> list[str]:
    length = len(value.reveal())
    if length <= _ZTN_CHARACTERS:
        return []
    return [f"the token has {length} characters; storage by XRootD takes {_ZTN_CHARACTERS} unless it is told more"]


def _unfit(what: str, issuer: str, evidence: str = "", fix: str = "") -> TokenUnfitError:
    return TokenUnfitError(what, evidence=evidence, fix=fix or f"Check the issuer in the cluster's profile: {issuer}")


def _claims(text: str) -> dict[str, Any] | None:
    import jwt

    try:
        # Dates are compared below, with the clock that was passed in.
        return dict(jwt.decode(text, options={"verify_signature": False}))
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None


def _check_claims(claims: dict[str, Any], issuer: str, audience: str, now: float, *, wlcg: bool) -> float:
    if issuer and claims.get("iss") != issuer:
        hint = " Only the slash at the end differs." if str(claims.get("iss")).rstrip("/") == issuer.rstrip("/") else ""
        raise _unfit(
            f"the token's issuer is {claims.get('iss')!r}, the profile's is {issuer!r}",
            issuer,
            fix=f"Write the issuer exactly as in the token (SEPTUM_CLUSTER_ISSUER).{hint}",
        )
    found = claims.get("aud")
    audiences = found if isinstance(found, list) else [found]
    if audience and audience not in audiences:
        raise _unfit(
            f"the token is for the audience {found!r}, asked was {audience!r}",
            issuer,
            fix="Ask the issuer's admin to let the client have this audience, or correct SEPTUM_CLUSTER_AUDIENCE.",
        )
    if ANY_AUDIENCE in audiences and audience not in {"", ANY_AUDIENCE}:
        raise _unfit(
            "the token is good at every service, although one audience was asked for",
            issuer,
            evidence=f"aud: {found!r}",
            fix="Ask the issuer's admin to let the client have tokens for one audience.",
        )
    expires_at = claims.get("exp")
    if not isinstance(expires_at, (int, float)) or isinstance(expires_at, bool) or not abs(expires_at) < _END_OF_TIME:
        raise _unfit("the token does not say when it expires (claim 'exp')", issuer)
    if expires_at <= now:
        raise _unfit(
            f"the new token expired {show_duration(now - expires_at)} ago",
            issuer,
            fix="Compare this machine's clock with the issuer's (date -u).",
        )
    if wlcg and (claims.get("wlcg.ver") != _WLCG_VERSION or not isinstance(claims.get("scope"), str)):
        raise _unfit(
            "the token does not follow the WLCG profile, so HTCondor would not read it",
            issuer,
            evidence=f"wlcg.ver: {claims.get('wlcg.ver')!r}, scope: {claims.get('scope')!r}",
            fix="Ask the issuer's admin to give the client the scope 'wlcg', and ask for it in the profile's 'scope'.",
        )
    return float(expires_at)


def _ahead_s(claims: dict[str, Any], issuer_time: float | None, now: float) -> float:
    """How far our clock is ahead of the issuer's; 0 for what a slow answer or rounded seconds explain."""
    if issuer_time is None or not skew_warning(issuer_time, now):
        return 0.0
    begins, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(begins, (int, float)) or not isinstance(ends, (int, float)):
        return 0.0
    # A time at which the token is not valid is not the issuer's: some machine in between has put it there.
    return now - issuer_time if begins - _CLOCK_SKEW_S <= issuer_time < ends else 0.0


def _scope_warnings(asked: set[str], granted: frozenset[str]) -> list[str]:
    warnings = []
    missing = sorted(asked - granted)
    compute = [scope for scope in missing if scope.startswith("compute.")]
    if compute:
        warnings.append(
            f"the issuer did not grant {', '.join(compute)}: the cluster may refuse to take jobs;"
            " HTCondor wants compute.create, compute.modify and compute.cancel together"
        )
    if others := [scope for scope in missing if scope not in compute]:
        warnings.append(f"the issuer did not grant the scope {', '.join(others)}")
    return warnings


def skew_warning(issuer_time: float | None, now: float) -> list[str]:
    """Compare the issuer's clock with ours.

    Args:
        issuer_time: The `Date` of its answer in seconds since 1970; None if there was none.
        now: Seconds since 1970.
    """
    if issuer_time is None or abs(issuer_time - now) <= _CLOCK_SKEW_S:
        return []
    return [f"this machine's clock and the issuer's are {show_duration(abs(issuer_time - now))} apart"]
