"""Everything that can go wrong, drawn once: what happened, the evidence, the fix, a code, an exit code.

The tables of `docs/reference/errors.md` and of `septum --help` are generated from these modules, one for each place of
a run where an error arises. They import nothing but each other.

| Module | Codes | What it is about |
| --- | --- | --- |
| `usage` | E001 to E006, E017, E020 | the command line, `septum.yaml`, the plan, a profile, the state folder |
| `project` | E007 to E011, E015, E030 to E033 | packages, image, capture, adopting, the starter, exports |
| `gitlab` | E012 to E014, E016, E040, E041 | the registry's tags, a rehearsed pipeline, a project and its settings |
| `preview` | E060 to E066 | what GitLab would refuse of a component or a pipeline |
| `credentials` | E100 to E140 | tokens, proxies, tickets, and who they speak for |
| `cluster` | E200 to E213 | access, submission, REANA, the shared area |
| `stopped` | E230 to E233 | a run that was interrupted, a watched pipeline that did not succeed |
| `jobs` | E300 to E319 | parts that did not deliver |
| `merge` | E400 to E411 | the merge, its verification, the upload |
| `comparison` | E500 to E502 | what differs from the reference |
| `again` | E750 to E755 | a service that did not answer; CI tries again |
| `base` | E999 | what all of them share, and how one is found by its code |
"""

# The order of these lines is that of `every_error`, and so of what is generated from it.
# isort: off
from septum.errors.base import SeptumError, error_of, every_error
from septum.errors.usage import (
    ConfigError,
    ImageNameError,
    PlanError,
    PrepareError,
    ProfileError,
    StateError,
    UsageError,
    WorkflowError,
)
from septum.errors.project import (
    AdoptError,
    AnswerError,
    CaptureError,
    ContractError,
    DamagedPackageError,
    ExportError,
    ImageBuildError,
    ImageUnfitError,
    StarterError,
    UpdateConflictError,
)
from septum.errors.gitlab import (
    CIJobError,
    ImageTakenError,
    NotOnGitlabError,
    ProjectDiffersError,
    RehearsalUnfitError,
    SetupIncompleteError,
)
from septum.errors.preview import (
    HeaderError,
    IncludeError,
    InputError,
    InterpolationError,
    LimitError,
    PipelineError,
    PreviewError,
)
from septum.errors.credentials import (
    AuthenticationError,
    CredentialExposedError,
    CredentialMissingError,
    GitlabRefusedError,
    IdentityError,
    KerberosError,
    NoCredentialsHereError,
    NotAuthorizedError,
    ProxyExpiredError,
    ProxyUnreadableError,
    RegistryRefusedError,
    TokenRefusedError,
    TokenUnfitError,
)
from septum.errors.cluster import (
    BindingsMissingError,
    ClusterFailedError,
    ClusterUnreachableError,
    ClusterUnusableError,
    NoRoomError,
    QuotaExceededError,
    SharedAreaError,
    SubmitRefusedError,
    WorkflowGoneError,
)
from septum.errors.stopped import CancelledError, LeftBehindError, PipelineCancelledError, PipelineFailedError
from septum.errors.jobs import (
    InputsDamagedError,
    OutputDamagedError,
    OutputMissingError,
    PartError,
    PartEvictedError,
    PartExitError,
    PartHeldElsewhereError,
    PartHeldError,
    PartImageError,
    PartLostError,
    PartNeverStartedError,
    PartOtherImageError,
    PartRemovedError,
    PartResourceError,
    PartSignalError,
    PartTimeoutError,
    PartialResultError,
    TransferDamagedError,
)
from septum.errors.merge import (
    DiskFullError,
    EngineMissingError,
    MergeCommandError,
    MergeFailedError,
    NotAdditiveError,
    NotConservedError,
    ProductError,
    ProvenanceError,
    StructureError,
    TooLargeError,
    UnexpectedFileError,
    UploadError,
)
from septum.errors.comparison import DifferentError, IncompatibleError, NotComparableError
from septum.errors.again import (
    ContactLostError,
    ImageNotThereError,
    IssuerUnavailableError,
    RegistryUnavailableError,
    TimeUpError,
    TryAgainError,
)
# isort: on

__all__ = [  # noqa: RUF022 - in the order of the codes
    "SeptumError", "error_of", "every_error",
    "UsageError", "ConfigError", "PlanError", "ProfileError", "StateError", "PrepareError", "DamagedPackageError",
    "ImageUnfitError", "ContractError", "CaptureError", "ImageBuildError", "ImageTakenError", "RehearsalUnfitError",
    "CIJobError", "AdoptError", "NotOnGitlabError", "WorkflowError", "ImageNameError", "AnswerError", "StarterError",
    "UpdateConflictError", "ExportError", "ProjectDiffersError", "SetupIncompleteError", "PreviewError", "HeaderError",
    "InputError", "InterpolationError", "LimitError", "IncludeError", "PipelineError",
    "CredentialMissingError", "NoCredentialsHereError", "TokenRefusedError", "TokenUnfitError", "NotAuthorizedError",
    "AuthenticationError", "GitlabRefusedError", "RegistryRefusedError", "ProxyUnreadableError", "ProxyExpiredError",
    "IdentityError", "KerberosError", "CredentialExposedError",
    "ClusterUnreachableError", "ClusterUnusableError", "BindingsMissingError", "ClusterFailedError",
    "WorkflowGoneError", "SubmitRefusedError", "NoRoomError", "QuotaExceededError", "SharedAreaError", "CancelledError",
    "LeftBehindError", "PipelineFailedError", "PipelineCancelledError",
    "PartError", "PartExitError", "PartSignalError", "PartRemovedError", "PartHeldError", "OutputMissingError",
    "OutputDamagedError", "PartTimeoutError", "PartLostError", "PartImageError", "PartialResultError",
    "PartHeldElsewhereError", "PartResourceError", "PartEvictedError", "PartNeverStartedError", "TransferDamagedError",
    "InputsDamagedError", "PartOtherImageError",
    "MergeFailedError", "StructureError", "UnexpectedFileError", "NotConservedError", "EngineMissingError",
    "ProvenanceError", "TooLargeError", "UploadError", "NotAdditiveError", "DiskFullError", "MergeCommandError",
    "ProductError",
    "DifferentError", "IncompatibleError", "NotComparableError",
    "TryAgainError", "IssuerUnavailableError", "ContactLostError", "TimeUpError", "ImageNotThereError",
    "RegistryUnavailableError",
]  # fmt: skip
