"""The commands that are known: what a line is there for, why it goes, which false green goes with it. Data alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from septum.adopting.values import Step

CREDENTIALS, FRAMEWORK, SUBMISSION, JOBS, MERGE = (
    "credentials", "the-framework", "submission", "jobs", "outputs-and-merge",
)  # fmt: skip
"""The headings of docs/explanation/false-greens.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A kind of command.

    Attributes:
        name: Of the rule, for the proposal.
        step: What it is there for.
        pattern: What it looks like.
        why: Why septum does it otherwise, for people.
        green: The heading of the false green that goes away.
    """

    name: str
    step: Step
    pattern: re.Pattern[str]
    why: str = ""
    green: str = ""


def _rule(name: str, step: Step, pattern: str, why: str = "", green: str = "") -> Rule:
    return Rule(name=name, step=step, pattern=re.compile(pattern, re.MULTILINE), why=why, green=green)


_MK = r"\bmkShapesRDF\b[^;&|\n]*"
RULES: tuple[Rule, ...] = (
    _rule("dag", Step.DAG, r"\bcondor_submit_dag\b|\bhtcondor2?\s+dag\s+submit\b"),
    # ── what runs the jobs ──────────────────────────────────────────────────────────────────────────────────────
    _rule("mkshapesrdf-again", Step.CHECK, _MK + r"\s(?:-r|--resubmit)[ =]?[12]\b",
          "parts that failed are run again by 'retries' and 'resubmissions'; this forgets -spool and the older logs",
          FRAMEWORK),
    _rule("mkshapesrdf-submit", Step.SUBMIT, _MK + r"\s(?:-o|--operationMode)[ =]?0\b",
          "its condor_submit is recorded, and septum submits: its exit code counts, nothing is submitted twice",
          FRAMEWORK),
    _rule("mkshapesrdf-merge", Step.MERGE, _MK + r"\s(?:-o|--operationMode)[ =]?2\b",
          "runs over the verified outputs of all parts, and what it makes is compared with their sum", MERGE),
    _rule("mkshapesrdf-check", Step.CHECK, _MK + r"\s(?:-o|--operationMode)[ =]?1\b",
          "words in err.txt say little: septum reads exit codes, sizes and checksums of every job", JOBS),
    _rule("mkshapesrdf-compile", Step.COMPILE, _MK + r"\s(?:-c|--compile)[ =]?1\b",
          "the component runs it, and stops if nothing was compiled", FRAMEWORK),
    _rule("condor_submit", Step.SUBMIT, r"(?<![\w.-])(?:[\w/.-]+/)?condor_submit(?![\w.-])",
          "what it submits becomes the plan: submitted once, under a tag, with its exit code read", SUBMISSION),
    _rule("presumed", Step.SUBMIT, r"(?!)",
          "what it submits becomes the plan: its condor_submit is recorded", SUBMISSION),
    _rule("transfer", Step.TRANSFER, r"\bcondor_transfer_data\b",
          "collect fetches each output as its job ends, and checks size, checksum and content", MERGE),
    _rule("remove", Step.REMOVE, r"\bcondor_(?:rm|hold|release|vacate_job|qedit)\b",
          "a cancelled pipeline removes its own jobs, by their tag; the spool is cleaned after the download"),
    _rule("wait", Step.WAIT, r"\bcheckCondor\b|\bcheck_condor\w*|\bcondor_(?:wait|q|history|watch_q|tail)(?![\w.])|"
          r"\bwait_(?:for_)?(?:condor|jobs)\w*\.(?:py|sh)\b",
          "'not in the queue' is not success: collect follows each job to its end, removed and held ones too", JOBS),
    _rule("sleep", Step.WAIT, r"^sleep\s", "collect waits, with one query for all jobs and a deadline", JOBS),
    _rule("merge-skips", Step.MERGE, r"\bhadd2?\b[^;|\n]*\s-k\b",
          "-k leaves out files that it cannot read: septum merges the complete, verified set, or says why not", MERGE),
    _rule("merge", Step.MERGE, r"(?<![\w-])(?:hadd2?|haddnano(?:\.py)?)(?![\w-])",
          "a pattern merges what is there: septum merges the outputs of all parts of the plan, each once", MERGE),
    # ── what lets them in ───────────────────────────────────────────────────────────────────────────────────────
    _rule("condor", Step.CONDOR,
          r"\b_condor_\w+|\bCONDOR_CONFIG\b|\bcondor_(?:status|version|ping|config_val)(?![\w.])",
          "where the cluster is stands in its profile, so that it is chosen, not edited", SUBMISSION),
    _rule("proxy-cat", Step.PROXY, r"cms-cat-grid-proxy-service|cmscat.*proxy.*api",
          "the broker gives the proxy to septum itself, which renews it"),
    _rule("proxy-info", Step.PROXY, r"\b(?:voms|grid)-proxy-info\b",
          "voms-proxy-info ends with 0 for an expired proxy: septum compares its end with the length of the run",
          CREDENTIALS),
    _rule("proxy", Step.PROXY,
          r"\b(?:voms|grid)-proxy-\w+|\barcproxy\b|\bX509_\w+=|\bmyproxy\b|base64\s+(?:-\w*[dD]|--decode)[^\n]*prox|"
          r"(?i:prox)\w*[\"'}]*\s*\|\s*base64\s+(?:-\w*[dD]|--decode)|\b(?:usercert|userkey)\b|"
          r"\bscp\b[^\n;|&]{0,200}(?:x509|prox)",
          "decoded strictly into a file that only the CI job can read, checked, and deleted at the end", CREDENTIALS),
    _rule("kerberos", Step.KERBEROS, r"\bkinit\b|\bklist\b|\baklog\b|\bkdestroy\b|\bKRB5\w*=",
          "septum gets the ticket, renews it while it waits, and destroys it"),
    _rule("token-unchecked", Step.TOKEN,
          r"\bcurl\b(?![^\n]*--fail)[^\n]*(?:\n[^\n]*){0,12}(?:grant_type|/token\b|access_token|client_secret)",
          "curl without --fail takes a refusal for an answer, and jq makes the token 'null' of it", CREDENTIALS),
    _rule("token", Step.TOKEN,
          r"grant_type|access_token|refresh_token|\boidc-|\bhtgettoken\b|\bhttokensh\b|BEARER_TOKEN|\bIAM_\w+=|"
          r"(?:^|\s)(?:export\s+)?\w*TOKEN\w*=|>\s*\S*\btoken\b|https?://\S+/token\b",
          "asked for with the answer checked, kept outside of the checkout, and renewed while the jobs run",
          CREDENTIALS),
    _rule("image", Step.IMAGE, r"(?:^|\s)(?:SINGULARITY|APPTAINER)_\w+=",
          "one image for CI job and workers, and each part proves that it ran in it", JOBS),
    # ── the rest ────────────────────────────────────────────────────────────────────────────────────────────────
    _rule("upload", Step.UPLOAD,
          r"\bxrdcp\b|\bgfal-(?:copy|cp)\b|\beos\s+(?:cp|root:)|\brclone\b|\baws\s+s3\b|\bdavix-put\b|"
          r"\bcurl\b[^\n]*\s(?:-T|--upload-file|-X\s*PUT)\b"),
    _rule("elsewhere", Step.ELSEWHERE,
          r"^(?:bsub|qsub|sbatch|srun|law\s+run|law|crab\s+\w+|b2luigi|reana-client|dirac-\w+|ganga|prun|pathena|arcsub|"
          r"fccanalysis\s+submit|snakemake\b[^\n]*(?:--cluster|--executor|--slurm|--htcondor))(?=\s|$)"),
    _rule("environment", Step.ENVIRONMENT,
          r"^(?:source|\.)\s|^(?:export|unset|alias|ulimit|umask|module|cmsenv|cmsrel|scram|scramv1|eval|cd|pushd|popd|conda|"
          r"micromamba|mamba|setupATLAS|asetup|lsetup)(?=\s|$)|^[A-Za-z_]\w*=|^(?:python3?\s+-m\s+)?(?:pip3?|venv|virtualenv)\s|"
          r"^set\s+(?:\+\w|--)"),
    _rule("options", Step.PRINTS, r"^(?:set|shopt)\s", "the CI jobs of septum stop at the first error, also in a pipe"),
    _rule("prints", Step.PRINTS,
          r"^(?:echo|printf|pwd|ls|ll|date|whoami|hostname|id|env|printenv|which|type|df|du|nproc|uname|true|:|cat|head|tail|tree|"
          r"lscpu|free|command\s+-v|wc|stat|file|git\s+(?:log|status))(?=\s|$)"),
)  # fmt: skip
_LOOKED_AT = 8000
"""Characters of a command that are looked at; nobody writes a longer one."""
_WRITES = re.compile(r"(?<![\d&<>-])>{1,2}(?!&)|\|\s*(?:tee|sh|bash|xargs)\b|\$\(|`")


def rule_of(text: str) -> Rule | None:
    """The first rule that a command answers to; None if there is none.

    Args:
        text: One command, without what stands in its comments.
    """
    text = text[:_LOOKED_AT]
    for rule in RULES:
        if rule.pattern.search(text):
            if rule.step is Step.PRINTS and _WRITES.search(text):
                return None
            return rule
    return None


BY_NAME = {rule.name: rule for rule in RULES}
