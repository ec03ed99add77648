"""Finds secrets that stand in the files of a pipeline, and keeps them out of all that is shown or proposed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from septum.adopting import shell
from septum.credentials import detect

HIDDEN = "(secret)"
_SURE = r"SECRET|PASSWORD|PASSWD|PASSPHRASE|PASSWORT|(?<![A-Z])PASS(?![A-Z])|(?<![A-Z])PWD(?![A-Z])"
_LIKELY = r"TOKEN|PROXY|API_?KEY|PRIVATE_?KEY|KEYTAB|USERKEY|USERCERT"
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9_])(?P<name>[A-Za-z0-9_]{{0,60}}?(?:{_SURE}|{_LIKELY})[A-Za-z0-9_]{{0,60}})[\"']?\s{{0,5}}[:=]\s{{0,5}}"
    r"(?:\{\s{0,5}value:\s{0,5})?(?P<value>\"[^\"\n]{1,9000}\"|'[^'\n]{1,9000}'|(?![{[])[^\s\"'&;|<>,}()]{1,9000})",
    re.IGNORECASE,
)
_GIVEN = (
    re.compile(r"\bcurl\b[^\n]{0,500}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,200}:(?P<value>[^\s\"']{3,500})"),
    re.compile(r"\b(?:echo|printf)\s+(?:-n\s+|%s\s+)?(?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s\"'|]+)\s*\|[^\n]{0,80}"
               r"\b(?:kinit|voms-proxy-init|grid-proxy-init|docker login)\b"),
    re.compile(r"--(?:password|client-secret|secret|token)[ =](?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s\"'|]+)"),
)  # fmt: skip
_WEBHOOK = re.compile(
    r"(?<=/)(?:hooks/(?=[a-z0-9]{26}(?![\w-]))|services/(?=T\w{1,40}/B\w{1,40}/\w{16})|api/webhooks/(?=\d{10,30}/[\w-]{40})"
    r"|webhookb2/(?=[\w@-]{30,120}/))(?P<value>[\w/@-]{26,300})"
)
"""Whoever has such an address may post there: Mattermost, Slack, Discord, Teams."""
_BLOB = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{200,}={0,2}(?![A-Za-z0-9+/=])")
_HARMLESS = re.compile(
    r"(?i)(?:true|false|yes|no|null|none|\d{1,4}|[./~].*|https?://[^@]*|your.*|change.?me|example.*|<.*>|\*+|x{3,}|\.{3,}"
    r"|wlcg|openid|env|file|env_var|masked|project|optional|required|-.*)"
)
_HERE = re.compile(r"(?<!<)<<-?\s*[\\'\"]?(?P<word>[A-Za-z_]\w*)")
_SHORT = 8
_TOKEN_LENGTH = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret that stands in a file. Only this module looks at its value.

    Attributes:
        file: Where it stands.
        line: In which line.
        name: The variable that it is the value of; empty if it has none.
        kind: What it is, in words.
        value: The secret itself.
    """

    file: str
    line: int
    name: str
    kind: str
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.file}:{self.line}, {self.name or self.kind})"


def find(text: str, file: str) -> Iterator[Secret]:
    """The secrets of one file, each value once."""
    seen: set[str] = set()
    for start, name, kind, value in _candidates(text, code=file.endswith(".py")):
        if value not in seen:
            seen.add(value)
            yield Secret(file=file, line=text.count("\n", 0, start) + 1, name=name, kind=kind, value=value)


def _candidates(text: str, *, code: bool) -> Iterator[tuple[int, str, str, str]]:
    for found in _NAMED.finditer(text):
        value = found["value"].strip("\"'")
        # In a program, what stands without quotes is a name or a call.
        if _is_secret(found["name"], value) and (not code or found["value"][0] in "\"'"):
            yield found.start("value"), found["name"], f"the value of {found['name'][:60]}", value
    for pattern in _GIVEN:
        for found in pattern.finditer(text):
            value = found["value"].strip("\"'")
            if "$" not in value and not _HARMLESS.fullmatch(value):
                yield found.start("value"), "", "a password", value
    for found in _WEBHOOK.finditer(text):
        yield found.start("value"), "", "the address of a webhook", found["value"]
    yield from _tokens(text)


def _tokens(text: str) -> Iterator[tuple[int, str, str, str]]:
    """What looks like a token or a key, whatever it is called."""
    raw = text.encode("utf-8", "surrogatepass")
    for hit in detect.find(raw):
        at = len(raw[: hit.start].decode("utf-8", "ignore"))
        for piece in re.split(r"[\s\"'\\]+", raw[hit.start : hit.end].decode("utf-8", "ignore")):
            if len(piece) >= _SHORT and not piece.startswith("-----"):
                yield at, "", hit.kind, piece
    for found in _BLOB.finditer(text):
        yield found.start(), "", "a long text in base64", found.group()


def _is_secret(name: str, value: str) -> bool:
    # What is a variable, a command, or the name of a file is none.
    if not value or any(sign in value for sign in "$`") or _HARMLESS.fullmatch(value):
        return False
    if re.search(_SURE, name, re.IGNORECASE):
        return not re.search(r"(?i)_(?:file|path|name|dir)$", name) and len(value) >= 3  # noqa: PLR2004
    varied = len(set(value)) >= _SHORT and re.search(r"\d", value) is not None
    return len(value) >= _TOKEN_LENGTH and varied and "/" not in value[:1] and "." not in value[:1]


def hide(text: str, secrets: Sequence[Secret], names: Mapping[str, str] | None = None) -> str:
    """A text without the secrets.

    Args:
        text: What is to be shown or written.
        secrets: All that were found.
        names: What takes the place of a secret, by its value: a reference to a variable. `(secret)` by default.
    """
    for secret in _longest_first(secrets):
        instead = (names or {}).get(secret.value, HIDDEN)
        text = _places(secret.value).sub(lambda _: instead, text)  # noqa: B023
    return text


def refer_in_shell(text: str, secrets: Sequence[Secret], references: Mapping[str, str]) -> str:
    """Lines of shell whose secrets are variables: those in single quotes, which expand nothing, get quotes around them.

    Args:
        text: The lines.
        secrets: All that were found.
        references: What takes the place of a secret, by its value, such as `${SECRET_1}`.
    """
    for secret in _longest_first(secrets):
        reference = references[secret.value]
        for found in reversed(list(_places(secret.value).finditer(text))):
            before = text[: found.start()]
            quote = shell.without_quotes(before)[1] if "<<" not in before else '"'
            around = {"'": f"'\"{reference}\"'", '"': reference}.get(quote, f'"{reference}"')
            text = (before + around + text[found.end() :]).replace(f"''\"{reference}\"''", f'"{reference}"')
    return text


def refer_by_line(text: str, secrets: Sequence[Secret], references: Mapping[str, str]) -> str:
    """A file without the secrets that are left in it; lines that are plain texts of YAML are lines of shell."""
    if not any(secret.value in text for secret in secrets):
        return text
    lines, here = [], ""
    for line in text.split("\n"):
        start = re.match(r"\s*(?:- +)*", line)
        at = start.end() if start else 0
        body = line[at:]
        # In a quoted text of YAML, quotes are doubled or escaped; a key has a value, and no quotes of a shell.
        simple = here or body[:1] in {"'", '"', "#"} or re.match(r"[\w.-]+:(?:\s|$)", body)
        begun = _HERE.search(body)
        here = begun["word"] if begun else "" if body.strip() == here else here
        lines.append(line[:at] + (hide if simple else refer_in_shell)(body, secrets, references))
    return hide("\n".join(lines), secrets, references)


def _longest_first(secrets: Sequence[Secret]) -> list[Secret]:
    return sorted(secrets, key=lambda each: -len(each.value))


def _places(value: str) -> re.Pattern[str]:
    # A short one may be a part of other words.
    plain = re.escape(value)
    return re.compile(plain if len(value) >= _SHORT else rf"(?<![A-Za-z0-9]){plain}(?![A-Za-z0-9])")
