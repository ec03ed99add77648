"""`septum component contract`: what the library promises, and whether a commit may follow the last release.

For people who work on the library itself; needs a checkout of it, with its tags.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from septum.cli.answer import answer
from septum.cli.console import complain, say
from septum.cli.parsing import examples

if TYPE_CHECKING:
    import argparse

    from septum.components.contract.gate import Version
    from septum.components.contract.terms import Contract

_GIT_S = 60
_FIX = 'git fetch --tags --unshallow    # in GitLab CI:  variables: {GIT_DEPTH: "0"}'


def register_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to `septum component`."""
    parser = actions.add_parser(
        "contract",
        help="what users rely on, compared with the last release",
        description="Write down what users of the library rely on, or compare it with the last release. For authors "
        "of the library.",
        epilog=examples(
            ("septum component contract", "write components/contract.json"),
            ("septum component contract --check", "whether this commit may follow the last release"),
            ("septum component contract --changelog", "the changes, as lines for CHANGELOG.md"),
        ),
    )
    parser.set_defaults(handler=contract)
    parser.add_argument("--against", metavar="TAG|FILE", help="check against this, instead of the last release")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="write nothing; exit code 2 if this commit may not follow the last release"
    )
    what.add_argument("--changelog", action="store_true", help="print the changes as a section of the changelog")
    parser.add_argument("--root", type=Path, default=Path(), help="a folder in the checkout (default: this one)")


def contract(args: argparse.Namespace) -> int:
    """Write `components/contract.json`, or judge the commit, or print what has changed.

    Raises:
        ContractError: The file has drifted, the last release cannot be found, or the commit may not follow it.
    """
    from septum.components.contract.reading import CONTRACT, contract_of
    from septum.components.contract.stored import to_json
    from septum.components.render import library_root
    from septum.state import write_whole

    root = library_root(args.root.resolve())
    new = contract_of(root)
    if args.changelog:
        return _print_skeleton(_released(root, new.version, args.against), new)
    if args.check or args.against:
        return _check(root, new, args.against)
    write_whole(root / CONTRACT, to_json(new))
    say(f"{CONTRACT} is up to date")
    answer({"contract": CONTRACT.as_posix(), "version": new.version})
    return 0


def _print_skeleton(old: Contract | None, new: Contract) -> int:
    from septum.components.contract.diff import differences
    from septum.components.contract.gate import skeleton

    if old is None:
        complain("There is no release yet, so everything is new.")
        answer({"changelog": None})
    else:
        text = skeleton(differences(old, new))
        say(text.removesuffix("\n"))
        answer({"changelog": text})
    return 0


def _check(root: Path, new: Contract, against: str | None) -> int:
    from septum.components.contract.gate import judge
    from septum.components.contract.reading import CONTRACT
    from septum.components.contract.stored import to_json
    from septum.errors import ContractError

    path = root / CONTRACT
    if not path.is_file() or path.read_bytes() != to_json(new).encode("utf-8"):
        raise ContractError(
            f"{CONTRACT} does not say what the components and the errors are",
            fix="septum component contract, and commit the result",
        )
    old = _released(root, new.version, against)
    complaints = judge(old, new, _changelog(root))
    if complaints:
        raise ContractError(
            f"this commit may not follow {'the last release' if old is None else old.version}",
            evidence="\n".join(complaints),
            fix="septum component contract --changelog    # lines for CHANGELOG.md; the rules: CONTRIBUTING.md",
        )
    since = "there is no release yet" if old is None else f"it may follow {old.version}"
    say(f"the contract of {new.version}: {since}")
    answer({"version": new.version, "follows": None if old is None else old.version})
    return 0


def _changelog(root: Path) -> str:
    path = root / "CHANGELOG.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


# ── the last release ────────────────────────────────────────────────────────────────────────────────────────────


def _released(root: Path, version: str, against: str | None) -> Contract | None:
    """The contract of the last release before this commit; None if the library was never released."""
    from septum.components.contract.reading import CONTRACT
    from septum.components.contract.stored import from_json

    if against and Path(against).is_file():
        return from_json(Path(against).read_text(encoding="utf-8", errors="replace"), against)
    tag = against or _last_tag(root, version)
    if tag is None:
        return None
    commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{tag}^{{commit}}")
    text = _git(root, "cat-file", "blob", f"{commit.strip()}:{CONTRACT.as_posix()}") if commit else None
    if text is None:
        from septum.errors import ContractError

        raise ContractError(
            f"contract: {tag} has no {CONTRACT} here",
            evidence="git does not know that tag" if commit is None else f"it is commit {commit.strip()}",
            fix=f"{_FIX}\nor name another release, or a file:  septum component contract --check --against FILE",
        )
    return from_json(text, f"{CONTRACT} of {tag}")


def _last_tag(root: Path, version: str) -> str | None:
    """The tag of the last release before this commit; None if the changelog and git know of none.

    A version that has its date, and no tag yet, is the one that is being released.
    """
    from septum.components.contract.gate import releases, version_from
    from septum.errors import ContractError

    own = version_from(version)
    tags = _release_tags(root)
    if own in tags and _is_here(root, tags[own]):
        del tags[own]
    dated = [release for release in releases(_changelog(root)) if release <= own]
    earlier = [release for release in dated if release < own]
    tagged = max((release for release in tags if release <= own), default=None)
    # A shallow clone may lack the tag of the version itself, too.
    wanted = earlier[0] if earlier else max(dated, default=None) if not tags and _is_shallow(root) else None
    if wanted is not None and (tagged is None or tagged < wanted):
        raise ContractError(
            f"contract: the tag of the last release, {wanted}, is not in this clone",
            evidence="CHANGELOG.md gives it a date" + ("; the clone is shallow" if _is_shallow(root) else ""),
            fix=_FIX,
        )
    return tags[tagged] if tagged is not None else None


def _release_tags(root: Path) -> dict[Version, str]:
    """The tags of full releases, as `.gitlab-ci.yml` makes them; none outside of a git repository."""
    import re

    from septum.components.contract.gate import version_from

    listed = (_git(root, "tag", "--list") or "").split()
    return {version_from(tag): f"refs/tags/{tag}" for tag in listed if re.fullmatch(r"\d{1,6}(\.\d{1,6}){2}", tag)}


def _is_here(root: Path, tag: str) -> bool:
    """Whether a tag is that of the commit itself, as in the pipeline that releases it, and nothing was edited since."""
    from septum.components.contract.reading import CONTRACT

    head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head is None or head != _git(root, "rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}"):
        return False
    return _git(root, "diff", "--quiet", "HEAD", "--", CONTRACT.as_posix()) is not None


def _is_shallow(root: Path) -> bool:
    return (_git(root, "rev-parse", "--is-shallow-repository") or "").strip() == "true"


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None if it refuses, as outside of a repository.

    Raises:
        ContractError: There is no git, or it does not answer.
    """
    from septum import git
    from septum.errors import ContractError

    # A hook of git has its own repository in these.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return git.ask(root, *arguments, environ=environ, timeout_s=_GIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContractError(
            "contract: git did not answer", evidence=str(error), fix="install git, or name a file with --against"
        ) from error
