"""Everything that can go wrong, drawn once: what happened, the evidence, the fix, a code, an exit code.

The tables of `docs/reference/errors.md` and of `septum --help` are generated from this module. It imports nothing.
"""

from __future__ import annotations

from typing import ClassVar


class SeptumError(Exception):
    """The base of all errors that a user can meet.

    Args:
        what: One sentence with the values in it, no capital after the subject.
        evidence: What was seen: an answer, a line, a log's tail. May have several lines, never a secret.
        fix: Something to paste or to do.
    """

    code: ClassVar[str] = "E999"
    exit_code: ClassVar[int] = 70

    def __init__(self, what: str, *, evidence: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.evidence = evidence.rstrip()
        self.fix = fix

    def __str__(self) -> str:
        """The message as it is printed, without colour."""
        lines = [f"{self.what} [{self.code}]"]
        lines += [f"    {line}" for line in self.evidence.splitlines()]
        if self.fix:
            first, *rest = self.fix.splitlines()
            lines += [f"  Fix: {first}", *(f"       {line}" for line in rest)]
        return "\n".join(lines)


# ── 2: usage and configuration ──────────────────────────────────────────────────────────────────────────────────


class UsageError(SeptumError):
    """The command line or the environment asks for something that does not exist."""

    code, exit_code = "E001", 2


class ConfigError(SeptumError):
    """`septum.yaml` cannot be read: an unknown key, a wrong type, a value out of range."""

    code, exit_code = "E002", 2


class PlanError(SeptumError):
    """The configuration is well formed, but no complete plan follows: a file is missing, a list is empty."""

    code, exit_code = "E003", 2


class ProfileError(SeptumError):
    """A cluster profile cannot be read, or no profile has that name."""

    code, exit_code = "E004", 2


class StateError(SeptumError):
    """The state folder does not belong to this plan, is damaged, or an earlier step is missing."""

    code, exit_code = "E005", 2


class PrepareError(SeptumError):
    """A line under `prepare` in `septum.yaml` failed; nothing was planned or submitted."""

    code, exit_code = "E006", 3


class DamagedPackageError(SeptumError):
    """A package that septum consists of is not the one that this release pinned: its checksum differs."""

    code, exit_code = "E007", 4


class ImageUnfitError(SeptumError):
    """The image of the analysis cannot run septum: no package that it needs was built for it."""

    code, exit_code = "E008", 2


class ContractError(SeptumError):
    """What the library promises to its users and the version, the changelog or the last release do not agree."""

    code, exit_code = "E009", 2


class CaptureError(SeptumError):
    """What a framework submitted could not be recorded, or its recording cannot be read; nothing was submitted."""

    code, exit_code = "E010", 2


class ImageNameError(PlanError):
    """A text is not the name of a container image, or no registry and no worker takes it."""

    code, exit_code = "E020", 2


class ImageBuildError(SeptumError):
    """The image of the analysis could not be built: a line of its Containerfile failed, or there is no buildah."""

    code, exit_code = "E011", 3


class AdoptError(SeptumError):
    """A pipeline of shell lines cannot be adopted: it cannot be read, submits nothing to HTCondor, or has a DAG."""

    code, exit_code = "E015", 2


class WorkflowError(PlanError):
    """A workflow of REANA cannot be translated, or Snakemake is not there to read it; what it is about is named."""

    code, exit_code = "E017", 2


class AnswerError(SeptumError):
    """An answer to `septum new` is not one that it can take: an unknown choice, a name with signs that are not safe."""

    code, exit_code = "E030", 2


class StarterError(SeptumError):
    """The starter cannot be copied or merged: the folder is not empty, the tree is not clean, no such version."""

    code, exit_code = "E031", 2


class UpdateConflictError(SeptumError):
    """`septum update` has merged, and some lines were changed by both sides: they wait for a decision."""

    code, exit_code = "E032", 3


class ExportError(SeptumError):
    """The files of `septum export` are out of date, were changed by hand, or cannot say what the plan says."""

    code, exit_code = "E033", 2


class ImageTakenError(SeptumError):
    """The registry has another image under the tag; a tag never gets a second meaning."""

    code, exit_code = "E012", 2


class RehearsalUnfitError(SeptumError):
    """This machine cannot rehearse a pipeline: no Linux, no `apt-get`, no Node, or no user namespaces."""

    code, exit_code = "E013", 2


class CIJobError(SeptumError):
    """A CI job of a rehearsed pipeline failed, and not by an error of septum's; or the pipeline left no result."""

    code, exit_code = "E014", 3


class NotOnGitlabError(SeptumError):
    """GitLab shows no such project, pipeline, CI job or log: there is none, or the token does not see it."""

    code, exit_code = "E016", 2


class ProjectDiffersError(SeptumError):
    """A project on GitLab is not as septum needs it; `septum gitlab check` looked, and changed nothing."""

    code, exit_code = "E040", 3


class SetupIncompleteError(SeptumError):
    """`septum gitlab setup` could not do all of it; the rest is done, and doing it again goes on."""

    code, exit_code = "E041", 3


class PreviewError(SeptumError):
    """GitLab would refuse a component, its inputs or the pipeline that includes it; each cause has its own class."""

    code, exit_code = "E060", 2


class HeaderError(PreviewError):
    """GitLab would not take a CI/CD file: its YAML cannot be read, or its header has an unknown or unfit key."""

    code, exit_code = "E061", 2


class InputError(PreviewError):
    """An input is missing, unknown, of the wrong type, or not what its options or its regular expression allow."""

    code, exit_code = "E062", 2


class InterpolationError(PreviewError):
    """A block `$[[ … ]]` names what does not exist, or calls a function with something that it does not take."""

    code, exit_code = "E063", 2


class LimitError(PreviewError):
    """A file exceeds a limit of GitLab: its size, its depth, the number or the length of its blocks."""

    code, exit_code = "E064", 2


class IncludeError(PreviewError):
    """A file that a pipeline includes cannot be found, or cannot be included like that."""

    code, exit_code = "E065", 2


class PipelineError(PreviewError):
    """The files together are not a pipeline that GitLab would run: an unknown job, keyword, need or stage."""

    code, exit_code = "E066", 2


# ── 10 to 19: credentials ───────────────────────────────────────────────────────────────────────────────────────


class CredentialMissingError(SeptumError):
    """A variable that holds a credential is not set in this CI job."""

    code, exit_code = "E100", 10


class NoCredentialsHereError(CredentialMissingError):
    """The ref is not protected, and the component's CI jobs with credentials run on protected refs only."""

    code, exit_code = "E101", 10


class TokenRefusedError(SeptumError):
    """The issuer answered, and gave no token: wrong client, wrong secret, scope not allowed."""

    code, exit_code = "E110", 11


class TokenUnfitError(SeptumError):
    """The issuer's answer is not the token that was asked for: other issuer, audience, profile, or already expired."""

    code, exit_code = "E111", 12


class GitlabRefusedError(SeptumError):
    """GitLab does not let septum's token see what was asked for, or does not accept the token."""

    code, exit_code = "E114", 13


class RegistryRefusedError(SeptumError):
    """The container registry does not let this CI job see or push the image, or does not take its login."""

    code, exit_code = "E115", 13


class NotAuthorizedError(SeptumError):
    """The access point knows the identity, and does not let it submit: the token has too little scope."""

    code, exit_code = "E112", 13


class ProxyUnreadableError(SeptumError):
    """The proxy variable does not hold an X.509 proxy: broken base64, no certificate, no key, a user certificate."""

    code, exit_code = "E120", 14


class ProxyExpiredError(SeptumError):
    """The X.509 proxy has expired, or ends before the run can."""

    code, exit_code = "E121", 15


class AuthenticationError(SeptumError):
    """The access point did not accept the credential at all, or its host certificate was not accepted."""

    code, exit_code = "E113", 16


class IdentityError(SeptumError):
    """The credential is good and speaks for somebody else than the profile expects: subject, account, VO or role."""

    code, exit_code = "E122", 17


class KerberosError(SeptumError):
    """There is no Kerberos ticket: no `kinit`, a wrong password or keytab, no answer from the realm."""

    code, exit_code = "E130", 19


class CredentialExposedError(SeptumError):
    """A credential lies where others can read it: a file's mode, an artifact, a plan, a trace of the shell."""

    code, exit_code = "E140", 18


# ── 20 to 29: the cluster ───────────────────────────────────────────────────────────────────────────────────────


class ClusterUnreachableError(SeptumError):
    """No collector or schedd answers at the profile's address. Never replaced by a local one."""

    code, exit_code = "E200", 20


class ClusterFailedError(ClusterUnreachableError):
    """The access point answers, and failed at what it was asked."""

    code, exit_code = "E203", 20


class WorkflowGoneError(ClusterFailedError):
    """A workflow of REANA, or a file of its workspace, is not there any more: deleted, pruned, or never made."""

    code, exit_code = "E204", 20


class SubmitRefusedError(SeptumError):
    """The schedd answered, and did not take the jobs: a limit, a requirement of the site, a transfer that broke."""

    code, exit_code = "E210", 21


class NoRoomError(SubmitRefusedError):
    """The site has no room for more jobs of this account now; septum waits for room before it gives up."""

    code, exit_code = "E211", 21


class QuotaExceededError(SubmitRefusedError):
    """The account has used up what it may use of REANA's CPU or disk: the server takes nothing more of it."""

    code, exit_code = "E212", 21


class SharedAreaError(SubmitRefusedError):
    """What all parts share cannot be brought to `shared-area` of the cluster's profile, or no worker could fetch it."""

    code, exit_code = "E213", 21


class ClusterUnusableError(SeptumError):
    """The profile exists, but septum cannot use it: a method or an authentication that this version does not have."""

    code, exit_code = "E201", 22


class BindingsMissingError(SeptumError):
    """HTCondor's Python bindings are not installed, or do not exist for this machine."""

    code, exit_code = "E202", 23


class CancelledError(SeptumError):
    """The run was interrupted by a signal; its jobs have been removed as the message says."""

    code, exit_code = "E230", 24


class LeftBehindError(SeptumError):
    """Jobs that were to be removed are still in the queue."""

    code, exit_code = "E231", 25


class PipelineFailedError(SeptumError):
    """A pipeline of GitLab that was watched has failed; the evidence names the CI job and what it ended with."""

    code, exit_code = "E232", 26


class PipelineCancelledError(SeptumError):
    """A pipeline of GitLab that was watched was cancelled or skipped."""

    code, exit_code = "E233", 27


# ── 30 to 39: the jobs ──────────────────────────────────────────────────────────────────────────────────────────


class PartError(SeptumError):
    """A part did not deliver; each cause has its own class below."""

    code, exit_code = "E300", 30
    transient: ClassVar[bool] = False
    """Whether the cause lies on the way and not in the part, so that a new job may well deliver."""


class PartExitError(PartError):
    """The command of a part ended with an exit code other than 0, after all retries."""

    code, exit_code = "E301", 30


class PartSignalError(PartError):
    """A part was killed by a signal, often for its memory."""

    code, exit_code = "E302", 31


class PartRemovedError(PartError):
    """A job was removed from the queue by a person, a policy of the site, or the end of its lease."""

    code, exit_code = "E303", 32


class PartHeldError(PartError):
    """A job is held and will not be released by itself; the hold reason says why."""

    code, exit_code = "E304", 33


class PartHeldElsewhereError(PartHeldError):
    """A job is held for a fault of its worker or of the way to it: a file not transferred, a program not started."""

    code, exit_code = "E311", 33
    transient = True


class PartResourceError(PartHeldError):
    """The site holds a job that took more memory or disk than it asked for."""

    code, exit_code = "E312", 33


class PartEvictedError(PartHeldError):
    """A job was started again and again, and each time the site took its slot away before it ended."""

    code, exit_code = "E313", 33


class PartNeverStartedError(PartError):
    """A job has waited for a slot for longer than `idle-patience` of the cluster's profile allows."""

    code, exit_code = "E314", 36


class OutputMissingError(PartError):
    """The command ended with exit code 0 without writing a declared output."""

    code, exit_code = "E305", 34


class OutputDamagedError(PartError):
    """An output arrived with another size or checksum than the worker recorded, or cannot be opened."""

    code, exit_code = "E306", 35


class TransferDamagedError(OutputDamagedError):
    """An output is not the file, to the last byte, that the worker sent."""

    code, exit_code = "E315", 35
    transient = True


class InputsDamagedError(PartError):
    """A worker did not get the inputs that all parts share, or not as they were sent; the command was not started."""

    code, exit_code = "E316", 35
    transient = True


class PartTimeoutError(PartError):
    """A part ran longer than `resources: time` allows."""

    code, exit_code = "E307", 36


class PartLostError(PartError):
    """A job is neither in the queue nor in the history, or ended without a word from its wrapper."""

    code, exit_code = "E308", 37
    transient = True


class PartImageError(PartError):
    """The worker did not run the part in the container image that was asked for."""

    code, exit_code = "E309", 38
    transient = True


class PartOtherImageError(PartImageError):
    """The worker ran the part in another image than CI or the other parts have under the same name."""

    code, exit_code = "E319", 38


class PartialResultError(SeptumError):
    """Parts are missing within the tolerance: there is a result, and it is labelled partial."""

    code, exit_code = "E310", 39


# ── 40 to 49: the merge ─────────────────────────────────────────────────────────────────────────────────────────


class MergeFailedError(SeptumError):
    """The merge engine failed, or said something on standard error that it should not."""

    code, exit_code = "E400", 40


class MergeCommandError(MergeFailedError):
    """The framework's own merge failed, wrote nothing, or was not run over the outputs of this run."""

    code, exit_code = "E410", 40


class ProductError(MergeCommandError):
    """What the framework's own merge wrote cannot be read, or is not what the sum of the parts says."""

    code, exit_code = "E411", 43


class StructureError(SeptumError):
    """An output holds other objects, axes or branches than the outputs of the other parts."""

    code, exit_code = "E401", 41


class NotAdditiveError(StructureError):
    """An output holds what does not add up: NaN, an average, a counter that is full; `policies` can allow it."""

    code, exit_code = "E408", 48


class UnexpectedFileError(SeptumError):
    """The folder of the outputs holds a file that no part of the plan wrote."""

    code, exit_code = "E402", 42


class NotConservedError(SeptumError):
    """The merged file does not hold the sum of the parts."""

    code, exit_code = "E403", 43


class EngineMissingError(SeptumError):
    """Nothing that merges this format is installed: `hadd`, `pyarrow`, `h5py`; or no engine knows the format."""

    code, exit_code = "E404", 44


class ProvenanceError(SeptumError):
    """A result and its manifest do not belong together."""

    code, exit_code = "E405", 45


class TooLargeError(SeptumError):
    """The results are larger than GitLab takes as an artifact, and nothing says where else they should go."""

    code, exit_code = "E406", 46


class UploadError(SeptumError):
    """A result was not taken by the storage that `publish:` names, or is not there as it was sent."""

    code, exit_code = "E407", 47


class DiskFullError(SeptumError):
    """The disk of this machine has no room for what is to be fetched or merged; nothing that was fetched is lost."""

    code, exit_code = "E409", 49


# ── 50 to 59: the comparison ────────────────────────────────────────────────────────────────────────────────────


class DifferentError(SeptumError):
    """Results are not identical to the reference, and `reproducibility: exact` asks for that."""

    code, exit_code = "E500", 50


class IncompatibleError(SeptumError):
    """Results do not agree with the reference: an object is missing, has another structure, or differs too much."""

    code, exit_code = "E501", 51


class NotComparableError(SeptumError):
    """The reference was not found or cannot be used, or no object is on both sides. Results are not judged by that."""

    code, exit_code = "E502", 52


# ── 75: try again ───────────────────────────────────────────────────────────────────────────────────────────────


class TryAgainError(SeptumError):
    """A service did not answer in time, after retries; nothing is wrong with the analysis. CI retries this code."""

    code, exit_code = "E750", 75


class IssuerUnavailableError(TryAgainError):
    """The token issuer did not answer, or answered with a server error, after retries."""

    code, exit_code = "E751", 75


class ContactLostError(TryAgainError):
    """The schedd stopped answering during the run. The jobs go on; a retried CI job finds them by their tag."""

    code, exit_code = "E752", 75


class TimeUpError(TryAgainError):
    """The time of the CI job is nearly over and jobs still run. They go on; a retried CI job finds them again."""

    code, exit_code = "E753", 75


class ImageNotThereError(TryAgainError):
    """CVMFS does not show the image yet."""

    code, exit_code = "E754", 75


class RegistryUnavailableError(TryAgainError):
    """The container registry did not answer, or answered with a server error, after retries."""

    code, exit_code = "E755", 75


def every_error() -> list[type[SeptumError]]:
    """All error classes that carry a code of their own, in the order of this file.

    Returns:
        The classes below `SeptumError`, each once, depth first.
    """

    def walk(cls: type[SeptumError]) -> list[type[SeptumError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in walk(sub))]

    return walk(SeptumError)[1:]


def error_of(code: str) -> type[SeptumError]:
    """The class of an error code as the ledger stores it.

    Raises:
        KeyError: No class has that code.
    """
    return {cls.code: cls for cls in every_error()}[code]
