"""Run the GitLab pipeline of a repository on this machine, with gitlab-ci-local."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from septum.facility import cache, node, process
from septum.facility.issuer import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from septum.facility.debian import Debian

SERVER = "gitlab.test"
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_STATE = ".gitlab-ci-local"
_GIT = shutil.ignore_patterns(".git")
# The runner sets up the checkout of a CI job once more before `after_script`: it removes what the script has made, and
# brings the artifacts of the CI jobs before it again. GitLab's does not.
_RSYNC = """\
#!/bin/sh
for last; do :; done
case $last in
*.gitlab-ci-local/builds/*)
  runner=$PPID
  until [ "$runner" -le 1 ] || grep -qa gitlab-ci-local/dist "/proc/$runner/cmdline"; do
    runner=$(cut -d ' ' -f 4 "/proc/$runner/stat")
  done
  mkdir "$0.done/$runner-$(printf '%s ' "$@" | cksum | tr ' ' -)" 2>/dev/null || exit 0 ;;
esac
PATH=${PATH#*:} exec rsync "$@"
"""
# The runner says "false" of every branch; those of analyses that reach a cluster are protected.
_REF = {"CI_COMMIT_REF_PROTECTED": "true"}
# The runner shortens longer names with a hash.
_NAME_MAX = 238


@dataclass(frozen=True)
class Library:
    """Another project of the same pretended GitLab server, whose components the pipeline includes."""

    templates: Path
    """A folder `templates/`, taken as it lies there, committed or not."""
    project: str = "cms-analysis/general/septum"
    """The path on the server: `$CI_SERVER_FQDN/<project>/<component>@<tag>`."""
    tag: str = "1.0.0"


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline left."""

    exit_code: int
    log: str
    pipeline: Pipeline

    def artifacts(self, job: str) -> Path:
        """Return the folder with the artifacts of a job, as another job would get them."""
        return self.pipeline.checkout / _STATE / "artifacts" / _folder_name(job)

    def job_log(self, job: str) -> str:
        """Return what one job printed; empty if it did not run."""
        path = self.pipeline.checkout / _STATE / "output" / f"{_folder_name(job)}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that is ready to run. Create it with `prepare_pipeline`."""

    folder: Path
    env: Mapping[str, str]
    file: Path | None = None
    """What is run in place of the repository's own `.gitlab-ci.yml`."""

    @property
    def checkout(self) -> Path:
        """The copy of the repository that the pipeline runs in."""
        return self.folder / "checkout"

    def run(
        self,
        *jobs: str,
        needs: bool = False,
        timeout_s: float = 600,
        within: Sequence[str] = (),
        on_line: Callable[[str], None] = lambda _: None,
    ) -> PipelineResult:
        """Run all jobs, or some.

        Args:
            *jobs: Only these jobs, which find the artifacts of earlier runs, as after a click on "Retry"; none for all.
            needs: Whether to run what they need as well.
            timeout_s: Deadline in seconds.
            within: The beginning of a command line, of what the runner is started in.
            on_line: Takes what the runner prints, line by line.

        Returns:
            The exit code, the log and the artifacts. A failed job is no exception.

        Raises:
            FacilityError: The deadline has passed. All that the jobs have started is killed.
        """
        argv: list[str | Path] = [*within, node.node(), node.runner(), "--force-shell-executor", "--shell-isolation"]
        if self.file is not None:
            argv += ["--file", os.path.relpath(self.file, self.checkout)]
        argv += ["--variables-file", self.folder / "variables.json", "--home", self.folder / "home"]
        # The schema that the runner brings wants at least one tag; GitLab itself takes a job without any.
        argv += ["--ignore-schema-paths", "#/definitions/tags/minItems"]
        argv += ["--ignore-predefined-vars", ",".join(_REF)]  # or it warns that they are set
        argv += ["--no-artifacts-to-source", *jobs, *(["--needs"] if needs else [])]
        done = process.follow(
            argv, what="run the pipeline", timeout_s=timeout_s, on_line=on_line, env=self.env, cwd=self.checkout
        )
        return PipelineResult(done.returncode, done.stdout, self)


def prepare_pipeline(
    repository: Path,
    *,
    folder: Path,
    debian: Debian,
    variables: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    library: Library | None = None,
    project: str = "demo/analysis",
    number: int = 1,
    path: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    file: str = "",
) -> Pipeline:
    """Copy a repository, its working tree as it is, to run its pipeline in.

    Jobs run as shell scripts of this machine, each in a checkout of its own, whatever `image:` they name.

    Args:
        repository: The repository.
        folder: A new folder for all that is written.
        debian: Has the rsync that the runner needs.
        variables: CI/CD variables, secret or not. They travel in a file that only its owner can read.
        files: CI/CD variables of type file: the job gets the path of a file with this content.
        library: A project whose components the pipeline includes.
        project: The path of the repository on the pretended GitLab server.
        number: Of the pipeline: `CI_PIPELINE_IID`, and 1000 more for `CI_PIPELINE_ID`.
        path: Folders for the front of the jobs' PATH.
        environ: More for the environment of the jobs.
        file: What is run in place of the repository's own `.gitlab-ci.yml`; that one if empty.

    Raises:
        FacilityError: The repository cannot be copied.
    """
    repository = repository.resolve()  # Git reads it from another folder
    for name in ("home", "tmp", "checkout", "bin/rsync.done"):
        (folder / name).mkdir(mode=0o700, parents=True)
    (folder / "bin" / "rsync").write_text(_RSYNC, encoding="ascii")
    (folder / "bin" / "rsync").chmod(0o700)
    env = {
        **(environ or {}),
        # The jobs inherit this, and nothing else of ours.
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "HOME": str(folder / "home"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": ":".join(
            [str(folder / "bin"), *map(str, path), str(debian.bin), str(Path(sys.executable).parent), _SYSTEM_PATH]
        ),
        # The runner writes file variables there.
        "TMPDIR": str(folder / "tmp"),
    }
    (folder / "gitconfig").write_text(_git_config(folder, library), encoding="utf-8")
    checkout = folder / "checkout"
    # Neither may be in what is copied: it would be copied into itself.
    _copy(repository, checkout, env, [folder.resolve(), cache.cache_folder().resolve()])
    _pretend_server(checkout, project, env)
    if library is not None:
        _publish(library, folder, env)
    # The form with a type: a plain text that starts with a slash would become a file variable.
    entries = {
        **{name: {"type": "variable", "values": {"*": value}} for name, value in {**_REF, **(variables or {})}.items()},
        **{name: {"type": "file", "values": {"*": value}} for name, value in (files or {}).items()},
    }
    write_private(folder / "variables.json", json.dumps(entries))
    # The runner counts up from here.
    # A repository may have been used with the runner by hand, and hold what that leaves or reads.
    cache.remove_tree(checkout / _STATE)
    (checkout / f"{_STATE}-env").unlink(missing_ok=True)
    (checkout / _STATE).mkdir()
    if library is not None:
        # The runner would fetch several includes of one project into one folder at once.
        fetched = checkout / _STATE / "includes" / SERVER / library.project / library.tag
        shutil.copytree(library.templates, fetched / "templates")
    (checkout / _STATE / "state.yml").write_text(f"pipelineIid: {number - 1}\n", encoding="ascii")
    if file:
        (folder / "pipeline.yml").write_text(file, encoding="utf-8")
    return Pipeline(folder, env, folder / "pipeline.yml" if file else None)


def _copy(repository: Path, checkout: Path, env: Mapping[str, str], without: Sequence[Path]) -> None:
    """Make a clean checkout with one more commit if the working tree has changes; folders may be left out."""
    if (repository / ".git").exists():
        # Without its files: a link that the working tree has no more would lead what is copied out of the checkout.
        _git(checkout, env, "clone", "--quiet", "--no-hardlinks", "--no-checkout", str(repository), ".")
        listed = _git(repository, env, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            if not any((repository / name).is_relative_to(folder) for folder in without):
                _copy_one(repository, checkout, name)
        head = process.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
            what="git rev-parse",
            timeout_s=120,
            env=env,
            cwd=checkout,
            check=False,
        ).stdout.strip()
        if head:
            _git(checkout, env, "update-ref", "refs/heads/main", head)
            _git(checkout, env, "read-tree", head)
    else:

        def ignored(folder: str, names: list[str]) -> list[str]:
            return [name for name in names if Path(folder, name) in without]

        shutil.copytree(repository, checkout, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        _git(checkout, env, "init", "--quiet")
    _git(checkout, env, "symbolic-ref", "HEAD", "refs/heads/main")
    _git(checkout, env, "add", "--all")
    _git(checkout, env, "commit", "--quiet", "--allow-empty", "--message", "The working tree as it is")


def _copy_one(repository: Path, checkout: Path, name: str) -> None:
    """Copy what Git has listed, if it is still there, and there itself and not behind a link."""
    source, target = repository / name, checkout / name
    above = source.parent
    while above != repository:
        if above.is_symlink():
            return
        above = above.parent
    if source.is_symlink() or source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    elif (source / ".git").exists():
        # A submodule, or a repository in the repository.
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=_GIT)


def _pretend_server(checkout: Path, project: str, env: Mapping[str, str]) -> None:
    """Make the checkout look as if it were cloned from the pretended server."""
    if "origin" in _git(checkout, env, "remote").split():
        _git(checkout, env, "remote", "remove", "origin")
    _git(checkout, env, "remote", "add", "origin", f"https://{SERVER}/{project}.git")
    _git(checkout, env, "update-ref", "refs/remotes/origin/main", "HEAD")
    _git(checkout, env, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")


def _publish(library: Library, folder: Path, env: Mapping[str, str]) -> None:
    """Make the repository that Git fetches in place of the library's on the server."""
    work = folder / "library"
    shutil.copytree(library.templates, work / "templates")
    _git(work, env, "init", "--quiet", "--initial-branch=main")
    _git(work, env, "add", "--all")
    _git(work, env, "commit", "--quiet", "--message", f"Release {library.tag}")
    _git(work, env, "tag", library.tag)
    for option in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        _git(work, env, "config", option, "true")


def _git_config(folder: Path, library: Library | None) -> str:
    lines = ["[user]", "name = Rehearsal", "email = rehearsal@septum.test", "[safe]", "directory = *"]
    lines += ["[protocol]", "allow = always", "[advice]", "detachedHead = false", "[init]", "defaultBranch = main"]
    if library is not None:
        lines += [f'[url "file://{folder}/library/.git"]']
        # Git and the runner write the address with the port or without it.
        lines += [f"insteadOf = https://{SERVER}{port}/{library.project}.git" for port in ("", ":443")]
    return "\n".join(lines) + "\n"


def _git(cwd: Path, env: Mapping[str, str], *words: str) -> str:
    return process.run(["git", *words], what=f"git {words[0]} in {cwd}", timeout_s=120, env=env, cwd=cwd).stdout


def _folder_name(job: str) -> str:
    """Return the name that the runner gives to the folder of a job."""
    name = re.sub(
        r"[^\w-]+", lambda match: base64.urlsafe_b64encode(match[0].encode()).decode().rstrip("="), job, flags=re.ASCII
    )
    if len(name) <= _NAME_MAX:
        return name
    digest = hashlib.sha256(job.encode()).hexdigest()[:16]
    return f"{name[: _NAME_MAX - 17]}-{digest}"
