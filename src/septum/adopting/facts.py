"""What the old pipeline says about the cluster and the way in: addresses, scopes, the names of variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from septum.adopting.values import Found, OldJob, Step, Variable

_SETTING = re.compile(r"_condor_(?P<name>\w+)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|]*)")
_ASSIGNED = re.compile(r"^(?:export\s+)?(?P<name>[A-Za-z_]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|]*)\s*$")
_REFERENCE = re.compile(r"^\$\{?(?P<name>[A-Za-z_]\w*)\}?$")
_ANY_REFERENCE = re.compile(r"\$\{?(?P<name>[A-Za-z_]\w*)\}?")
_PROXY = re.compile(
    r"\$\{?(?P<name>[A-Za-z_]\w*)\}?[\"']?\s*\|\s*base64\s+(?:-\w*[dD]|--decode)|base64\s+(?:-\w*[dD]|--decode)[^\n|]*<<<\s*[\"']?\$\{?(?P<other>[A-Za-z_]\w*)"
)
_CLIENT = re.compile(r"client_id=[\"']?\$\{?(?P<id>[A-Za-z_]\w*)|client_secret=[\"']?\$\{?(?P<secret>[A-Za-z_]\w*)")
_BASIC = re.compile(r"(?:-u|--user)\s+[\"']?\$\{?(?P<id>[A-Za-z_]\w*)\}?:\$\{?(?P<secret>[A-Za-z_]\w*)")
_ISSUER = re.compile(r"https?://[\w.-]+(?::\d+)?(?:/[\w./-]*)?(?=/(?:token|oauth2?/token|oauth/token)\b)")
_SCOPE = re.compile(r"scope=[\"']?(?P<value>[^\"'\n\\&]*)")
_SCOPE_WORDS = re.compile(r"(?i)^\w*scopes?$")
_PRINTED = re.compile(r"(?:echo|printf(?: +['\"]%s['\"])?) +['\"]?\$\{?\w+\}?['\"]?")
_KNOWN_SCOPES = frozenset({
    "openid", "profile", "offline_access", "email", "address", "phone", "wlcg", "wlcg.groups", "compute.read",
    "compute.create", "compute.modify", "compute.cancel", "eduperson_scoped_affiliation", "eduperson_entitlement",
    "iam",
})  # fmt: skip
_OLD_FACILITY = "131.154.96."
_ISSUERS_OF_CMS = ("https://cms-auth.cern.ch", "https://cms-auth.web.cern.ch")
_LXBATCH = re.compile(r"tweetybird|bigbird|lxbatch|lxplus", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?|\$\w+|\$\{\w+\}")
_PORT = 9618
"""HTCondor's own."""
SITE = "site"
"""The name of a profile that is written for a pool that septum does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value of HTCondor's configuration."""

    name: str
    value: str
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How the old pipeline got in, and how the new one will.

    Attributes:
        cluster: The name of a profile.
        why: How that is known, for people.
        variables: Those to write into the pipeline's file: no secrets.
        profile: The text of an own profile; empty if a shipped one will do.
        project: What changes in the project's settings.
        questions: What a person has to look at.
    """

    cluster: str
    why: str
    variables: Mapping[str, str]
    profile: str
    project: tuple[Variable, ...]
    questions: tuple[str, ...]


def settings(jobs: Sequence[OldJob], shared: object = None) -> dict[str, Setting]:
    """HTCondor's configuration by its name in capitals: of the variables of the CI jobs, and of their scripts.

    Args:
        jobs: The CI jobs.
        shared: The `variables` of the whole pipeline.
    """
    found = dict(_of_variables(shared))
    for job in jobs:
        found |= dict(_of_variables(job.keywords.get("variables")))
        literals = _literals(job.found)
        for each in job.found:
            for match in _SETTING.finditer(each.statement.text):
                value = match["value"].strip("\"'")
                reference = _REFERENCE.match(value)
                value = literals.get(reference["name"], value) if reference else value
                key = match["name"].upper()
                found[key] = Setting(name=key, value=value, file=each.statement.file, line=each.statement.first)
    return found


def _of_variables(variables: object) -> Iterator[tuple[str, Setting]]:
    for name, value in variables.items() if isinstance(variables, dict) else ():
        text = value.get("value") if isinstance(value, dict) else value
        if str(name).startswith("_condor_") and isinstance(text, str | int):
            key = str(name).removeprefix("_condor_").upper()
            at = getattr(name, "file", ""), getattr(name, "line", 0)
            yield key, Setting(name=key, value=str(text), file=at[0], line=at[1])


def _literals(found: Sequence[Found]) -> dict[str, str]:
    """The variables of a script that are set to a plain text."""
    literals: dict[str, str] = {}
    for each in found:
        match = _ASSIGNED.match(each.statement.text)
        if match and "$" not in match["value"] and "`" not in match["value"]:
            literals[match["name"]] = match["value"].strip("\"'")
    return literals


def access(jobs: Sequence[OldJob], *, chosen: str, shared: object = None) -> Access:
    """How the new pipeline gets in.

    Args:
        jobs: The CI jobs that septum replaces.
        chosen: The cluster that the user has named; empty if none.
        shared: The `variables` of the whole pipeline.
    """
    given = settings(jobs, shared)
    collector = _host(given, "COLLECTOR_HOST") or _host(given, "CONDOR_HOST")
    schedd = _host(given, "SCHEDD_NAME") or _host(given, "SCHEDD_HOST")
    cluster, why = (chosen, "you named it") if chosen else _cluster(given, jobs)
    scope, issuer, questions = _asked_for(jobs)
    old = cluster == "infn-af" and not chosen and (collector + schedd).startswith(_OLD_FACILITY)
    variables = {} if chosen or old else _variables(cluster, collector, schedd, issuer, scope)
    profile = _profile(given, collector, schedd, issuer, scope) if cluster == SITE else ""
    if old:
        questions.append(
            f"the addresses ({collector or schedd}) are those of the facility before April 2024: the profile infn-af "
            "has the newer collector. Ask the facility for the name of its schedd, and set SEPTUM_CLUSTER_SCHEDD"
        )
    elif cluster == "infn-af" and "SEPTUM_CLUSTER_SCHEDD" not in variables:
        questions.append(
            "the name of the schedd is not in the profile infn-af: set the CI/CD variable SEPTUM_CLUSTER_SCHEDD"
        )
    if cluster == SITE and "$" in (collector or "$") + schedd:
        questions.append(
            "the addresses of the cluster are in variables, or not there: if it is one that septum knows (septum "
            "cluster list), name it: septum adopt --cluster NAME"
        )
    questions += [] if why else ["which cluster? Nothing says where the jobs ran: septum adopt --cluster NAME"]
    project = tuple(_project(jobs, given, cluster))
    return Access(
        cluster=cluster, why=why, variables=variables, profile=profile, project=project, questions=tuple(questions)
    )


def _variables(cluster: str, collector: str, schedd: str, issuer: str, scope: str) -> dict[str, str]:
    """What the profile does not say, or says otherwise, as variables of the pipeline."""
    hosts = {"SEPTUM_CLUSTER_COLLECTOR": collector, "SEPTUM_CLUSTER_SCHEDD": schedd}
    if cluster == SITE:
        # A profile holds no variables.
        return {name: host for name, host in hosts.items() if "$" in host}
    if cluster == "local":
        return {}
    if cluster != "infn-af":
        del hosts["SEPTUM_CLUSTER_COLLECTOR"]
    found = {name: host for name, host in hosts.items() if host}
    if issuer and not issuer.startswith(_ISSUERS_OF_CMS):
        found["SEPTUM_CLUSTER_ISSUER"] = f"{issuer}/"
    if "compute." in scope:
        found["SEPTUM_CLUSTER_SCOPE"] = scope
    return found


def _host(given: Mapping[str, Setting], name: str) -> str:
    found = given.get(name)
    host = found.value.partition(",")[0].strip() if found else ""
    if not _HOST.fullmatch(host):
        return ""
    return (
        f"{host}:{_PORT}" if name in {"COLLECTOR_HOST", "CONDOR_HOST"} and ":" not in host and "$" not in host else host
    )


def _cluster(given: Mapping[str, Setting], jobs: Sequence[OldJob]) -> tuple[str, str]:
    hosts = " ".join(setting.value for name, setting in given.items() if name.endswith(("HOST", "NAME")))
    text = "\n".join(each.statement.text for job in jobs for each in job.found)
    if "131.154." in hosts or "infn.it" in hosts:
        return "infn-af", "its addresses are those of the INFN Analysis Facility"
    if _LXBATCH.search(hosts) or (not hosts and re.search(r"(?i)lxbatch|bigbird|myschedd", text)):
        return "cern-lxbatch", "its addresses are those of CERN's batch service"
    if any(_host(given, name) for name in ("COLLECTOR_HOST", "CONDOR_HOST", "SCHEDD_NAME", "SCHEDD_HOST")):
        return SITE, "no profile that comes with septum has its addresses"
    if any(job.has(Step.KERBEROS) for job in jobs) and "cern.ch" in text.lower():
        return "cern-lxbatch", "it takes a Kerberos ticket of CERN"
    return "local", ""


def _asked_for(jobs: Sequence[OldJob]) -> tuple[str, str, list[str]]:
    """Scope and issuer that the token was asked for with, and what is wrong with them."""
    found = [each for job in jobs for each in job.found if each.step is Step.TOKEN]
    text = "\n".join(each.statement.text for each in found)
    issuers = _ISSUER.findall(text)
    literals = _literals(found)
    scope = next((value for name, value in literals.items() if _SCOPE_WORDS.match(name)), "")
    direct = _SCOPE.search(text)
    if not scope and direct and "$" not in direct["value"]:
        scope = direct["value"].replace("+", " ").replace("%20", " ").strip()
    unknown = [
        word for word in scope.split() if word not in _KNOWN_SCOPES and not re.match(r"(?:storage|wlcg)[.:]", word)
    ]
    questions = [
        f"the token was asked for with the scope {word[:40]!r}, which no issuer knows"
        + (": it should be 'wlcg'" if set(word) <= set("wlcg") else "")
        + ". The scope is that of the profile"
        for word in unknown
    ]
    questions += [
        f"{each.statement.file}:{each.statement.first} {each.statement.text!r} prints the token into the log of the CI "
        "job: whoever can read old logs has tokens. Let those that are still good be revoked"
        for each in found
        if _PRINTED.fullmatch(each.statement.text)
    ]
    return " ".join(word for word in scope.split() if word not in unknown), issuers[0] if issuers else "", questions


def _profile(given: Mapping[str, Setting], collector: str, schedd: str, issuer: str, scope: str) -> str:
    """An own profile, with what the old pipeline said."""
    methods = given.get("SEC_DEFAULT_AUTHENTICATION_METHODS") or given.get("SEC_CLIENT_AUTHENTICATION_METHODS")
    kerberos = methods is not None and "KERBEROS" in methods.value.upper()
    keys = {"title": "The pool of this analysis", "method": "htcondor", "collector": collector, "schedd": schedd}
    if kerberos:
        keys["authentication"] = "kerberos"
    else:
        keys |= {"authentication": "scitokens", "credentials": "iam-client", "issuer": f"{issuer}/" if issuer else ""}
        keys |= {"audience": "https://wlcg.cern.ch/jwt/v1/any"}
    lines = [f"{key}: {_quoted(value)}" for key, value in keys.items() if value and "$" not in value]
    if not kerberos:
        words = scope.split() or ["wlcg", "compute.read", "compute.create", "compute.modify", "compute.cancel"]
        lines.append(f"scope: [{', '.join(word for word in words if word != 'offline_access')}]")
        lines.append("ca-variable: SEPTUM_CA")
    head = "# What the old pipeline said about its cluster: docs/how-to/bring-your-own-cluster.md has all keys."
    return "\n".join([head, *lines]) + "\n"


def _quoted(value: str) -> str:
    return f'"{value}"' if ":" in value else value


def _project(jobs: Sequence[OldJob], given: Mapping[str, Setting], cluster: str) -> Iterator[Variable]:
    """What changes in the settings of the project."""
    text = "\n".join(each.statement.text for job in jobs for each in job.found)
    identity, secret = _first(text, "id"), _first(text, "secret")
    methods = given.get("SEC_DEFAULT_AUTHENTICATION_METHODS") or given.get("SEC_CLIENT_AUTHENTICATION_METHODS")
    tokens = methods is not None and "TOKENS" in methods.value.upper()
    if identity or secret or (tokens and cluster in {"infn-af", SITE}):
        for old, new in ((identity, "IAM_CLIENT_ID"), (secret, "IAM_CLIENT_SECRET")):
            yield Variable(
                old=old,
                new=new,
                why="masked and protected, as before" if old == new else "the name that the profile wants",
            )
    proxy = next(filter(None, (_PROXY.search(line) for line in _proxies(jobs))), None)
    if proxy:
        old = proxy["name"] or proxy["other"]
        yield Variable(old=old, new="X509_PROXY", why="the same value, base64 -w0 of a proxy: masked and protected")
    elif re.search(
        r"(?i)usercert|userkey|GRID_PASSWORD|\b(?:voms|grid)-proxy-init\b|\bscp\b.{0,200}(?:x509|prox)", text
    ):
        yield Variable(old="", new="X509_PROXY", why="base64 -w0 of a proxy; certificate and key have no place in CI")
    if re.search(r"\bkinit\b", text) or cluster == "cern-lxbatch":
        used = _ANY_REFERENCE.search(next((line for line in text.splitlines() if "kinit" in line), ""))
        yield Variable(old="", new="KRB5_PRINCIPAL", why="the service account, such as NAME@CERN.CH")
        yield Variable(
            old=used["name"] if used else "", new="KRB5_KEYTAB", why="base64 -w0 of a keytab, instead of a password"
        )
    if "AUTH_SSL_CLIENT_CAFILE" in given:
        where = given["AUTH_SSL_CLIENT_CAFILE"].value
        yield Variable(
            old="", new="SEPTUM_CA", why=f"of type file: the certificate of the site's CA, {where} in the old image"
        )


def _proxies(jobs: Sequence[OldJob]) -> Iterator[str]:
    """The commands that write a proxy: what is decoded for other ends is a certificate, a key, or a password."""
    for job in jobs:
        for each in job.found:
            text = each.statement.text
            if each.step is Step.PROXY and not re.search(r"(?i)cert|key|passw|pwstdin|-proxy-init", text):
                yield text


def _first(text: str, group: str) -> str:
    for pattern in (_CLIENT, _BASIC):
        for match in pattern.finditer(text):
            if match[group]:
                return match[group]
    return ""
