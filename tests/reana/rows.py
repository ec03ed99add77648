"""REANA's example analyses in their shapes, and what becomes of each: run to its result, or refused with the reason.

The folders beside this file hold them, written anew: the keys, the commands and the graph are those of the examples,
the code is small and for these tests. `programs/` stands in for papermill, cmsRun, scram and aliroot.
`python -m tests.reana.rows` writes the table of the how-to page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "run-a-reana-analysis.md"
PROGRAMS = FOLDER / "programs"
_BEGIN, _END = "<!-- table: python -m tests.reana.rows -->\n", "<!-- end of the table -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One example.

    Attributes:
        name: Its folder.
        language: Of its workflow.
        parts: How many parts it becomes; 0 if it is refused.
        files: What is in the result folder in the end, with a piece of its text; empty for what is not text.
        results: The merged results among them.
        said: Pieces of what septum says: the notes, or the reason.
        image: The image that all parts are to run in, where the example has several.
        note: For people.
    """

    name: str
    language: str
    parts: int
    files: tuple[tuple[str, str], ...] = ()
    results: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    image: str = ""
    note: str


_KERBEROS = "a Kerberos ticket is the profile's"
ROWS = (
    Row(
        name="helloworld-serial",
        language="serial",
        parts=1,
        files=(("parts/0000/results/greetings.txt", "Good morning, Lise."),),
        said=("'tests' are for reana-client",),
        note="one part, one step",
    ),
    Row(
        name="helloworld-snakemake",
        language="snakemake",
        parts=1,
        files=(("parts/0000/results/greetings.txt", "Good morning, Marie."),),
        note="one part, one rule",
    ),
    Row(
        name="root6-roofit-serial",
        language="serial",
        parts=1,
        files=(("parts/0000/results/fit.txt", "events 2000"), ("parts/0000/results.tar.gz", "")),
        said=("compute_backend of reana.yaml:14: step gendata is not taken over",),
        note="one part; the folder `results` comes back as an archive",
    ),
    Row(
        name="root6-roofit-snakemake",
        language="snakemake",
        parts=1,
        files=(("parts/0000/results/fit.txt", "events 2000"),),
        said=("run one after the other in one part: rule gendata, rule fitdata",),
        note="one part: the second rule reads what the first writes",
    ),
    Row(
        name="worldpopulation-serial",
        language="serial",
        parts=1,
        files=(("parts/0000/results/shares.txt", "2000 13"),),
        said=("kerberos of", "htcondor_accounting_group of"),
        note=f"one part; {_KERBEROS}, and so is the accounting group",
    ),
    Row(
        name="worldpopulation-snakemake",
        language="snakemake",
        parts=1,
        files=(("parts/0000/results/shares.txt", "1500 10"),),
        said=("slurm_partition of reana.yaml:12: rule population is not taken over",),
        note="one part; `compute_backend` and Slurm's keys are left aside",
    ),
    Row(
        name="cms-h4l",
        language="serial",
        parts=1,
        files=(("parts/0000/results/mass4l.txt", "200 12"),),
        said=("the workers must have /cvmfs with cms-opendata-conddb.cern.ch",),
        note="one part, three steps; its time is their sum",
    ),
    Row(
        name="cms-dimuon-mass-spectrum",
        language="serial",
        parts=1,
        files=(("parts/0000/CMSSW_5_3_32/src/spectrum/Dimuon2011/DoubleMu.root", ""),),
        note="one part",
    ),
    Row(
        name="cms-reco",
        language="serial",
        parts=1,
        files=(("parts/0000/reco_RAW2DIGI_L1Reco_RECO_USER.root", ""),),
        said=("the workers must have /cvmfs",),
        note="one part; the workers must have its CVMFS repository",
    ),
    Row(
        name="alice-pt-analysis",
        language="serial",
        parts=1,
        files=(("parts/0000/plot_pt.txt", "10"), ("parts/0000/AnalysisResults.root", "")),
        note="one part, two outputs",
    ),
    Row(
        name="alice-lego-train-test-run",
        language="serial",
        parts=1,
        files=(("parts/0000/plot.txt", "read 292 bytes"),),
        note="one part, seven commands",
    ),
    Row(
        name="agc-cms-ttbar-coffea",
        language="snakemake",
        parts=1,
        files=(("parts/0000/histograms.root", ""),),
        said=("and no part has them", "run one after the other in one part: rule process_file", "Kerberos"),
        note="one part: its merges are notebooks. With `hadd` at the end, each file would be a part",
    ),
    Row(
        name="scattered-histograms",
        language="snakemake",
        parts=4,
        files=(("results/mass.root", ""),),
        results=("results/mass.root",),
        said=("rule gather (hadd) is septum's own merge: results/mass.root from 4 files",),
        note="no example of REANA, but what many are: a part a chunk, and septum merges",
    ),
    Row(
        name="bsm-search",
        language="snakemake",
        parts=0,
        said=("[E017]", "the workflow needs 2 images", "reana-env-root6:6.18.04: rule merge_sample", "--image"),
        note="**refused**: rules that share files name two images",
    ),
    Row(
        name="bsm-search",
        language="snakemake",
        parts=1,
        files=(("parts/0000/plot/prefit.txt", "data 1"),),
        said=("which replaces docker.io/reanahub/reana-demo-bsm-search:1.0.0, docker.io/reanahub/reana-env-root6",),
        image="registry.example.org/physics/bsm-with-root:1.0",
        note="one part, with `image:` in septum.yaml that has what both have",
    ),
    Row(
        name="lhcb-d2pimumu",
        language="cwl",
        parts=0,
        said=("reana.yaml:6: a cwl workflow cannot be run by septum [E017]", "reana-client run"),
        note="**refused**: CWL is not translated",
    ),
    Row(
        name="atlas-recast",
        language="yadage",
        parts=0,
        said=("reana.yaml:9: a yadage workflow cannot be run by septum [E017]", "serial or a snakemake workflow"),
        note="**refused**: Yadage is not translated",
    ),
)


def table() -> str:
    """The table of the page."""
    rows = [
        f"| {row.name.removesuffix(f'-{row.language}')} | {row.language} | {row.parts or '-'} | {row.note} |"
        for row in ROWS
    ]
    return "\n".join(["| Example | Workflow | Parts | |", "| --- | --- | ---: | --- |", *rows]) + "\n"


def with_table(page: str) -> str:
    """The page with the table of today."""
    return re.sub(
        f"(?s)({re.escape(_BEGIN)}).*?({re.escape(_END)})",
        lambda found: found[1] + "\n" + table() + "\n" + found[2],
        page,
    )


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
