"""The page of the false greens, from what came of them when they were staged last.

`python -m tests.framework.table` stages all of them, or those that are named, and writes the results and the page;
`--page` writes the page alone, and `--check` compares it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from septum.facility import Facility
from tests.framework.greens import ROWS
from tests.framework.rows import Outcome, Row, Stage, play, unexpected

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "false-greens.md"
Seen = Mapping[str, Mapping[str, Mapping[str, object]]]
"""By row and by way: exit code, result, error."""
_AT_A_TIME = 5

_INTRODUCTION = """\
# False greens

<!-- Written by `python -m tests.framework.table`: do not edit. -->

A pipeline of shell lines can end green with physics missing: a tool fails and the line goes on, a job is gone and the
pattern of the merge does not miss it. This page stages each case twice, on the same small analysis of five jobs.

One way is that of the proof of concept: a token taken with `curl -s` and `jq`, `voms-proxy-info`, a framework in the
shape of mkShapesRDF that calls `condor_submit` itself, a poller in the shape of `checkCondor`, then `hadd` over a
pattern or the framework's own merge. Its lines run as GitLab runs them, with `set -e` and `pipefail`. The other way is
`septum run`. Both run on the same real HTCondor pool, with real tokens and proxies. Framework and poller are written
anew for this, after what the public ones were seen to do (mkShapesRDF of June 2026).

The proof of concept ends with exit code 0 in every line of the tables. Its *result* is what the merged file is worth,
counted in events of all samples: a whole one has 5462, and an envelope over variations of the QCD scale. The last
column is septum's exit code and the first line of its message, with words of the lines below it in brackets; it
leaves no result then.
The page is written by the tests (`tests/integration/test_false_greens.py`), which fail when it is no longer true.
"""


def record(outcome: Outcome) -> dict[str, object]:
    """What is kept of an outcome."""
    kept = asdict(outcome)
    del kept["said"]
    return kept


def seen(outcomes: tuple[Outcome, Outcome]) -> dict[str, dict[str, object]]:
    """What is kept of a row."""
    return dict(zip(("poc", "septum"), map(record, outcomes), strict=True))


def stored() -> Seen:
    """What came of the rows when they were staged last."""
    found: Seen = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def page(results: Seen) -> str:
    """The whole page."""
    right = sum(not row.code for row in ROWS)
    counted = f"Of {len(ROWS)} cases, septum ends {len(ROWS) - right} with an error, and makes {right} right.\n"
    sections = [_INTRODUCTION, counted]
    for group in dict.fromkeys(row.group for row in ROWS):
        lines = [_line(row, results[row.name]) for row in ROWS if row.group == group]
        head = ["| What happens | The result of the proof of concept | septum |", "| --- | --- | --- |"]
        sections.append("\n".join([f"## {group}", "", *head, *lines]) + "\n")
    return "\n".join(sections)


def _line(row: Row, results: Mapping[str, Mapping[str, object]]) -> str:
    poc, ours = results["poc"], results["septum"]
    worth = f"{poc['result']}, {row.note}" if row.note else str(poc["result"])
    said = str(ours["error"])
    if code := re.search(r" \[(E\d{3})\]$", said):
        text = _as_code(said[: code.start()])
        more = [words for words in row.says[1:] if words not in str(ours["error"])]
        text += f" ({', '.join(f'`{words}`' for words in more)})" if more else ""
        said = f"{text} [{code[1]}](../reference/errors.md#{code[1].lower()})"
    else:
        said = f"the result is {ours['result']}"
    return f"| {row.happens} | {worth} | exit code {ours['code']}: {said} |"


def _as_code(text: str) -> str:
    """A message as it was printed, in a cell of a table."""
    return "`" + text.replace("`", "'").replace("|", "\\|") + "`"


@contextmanager
def staging(
    rows: Sequence[Row], facility: Facility, folder: Path
) -> Iterator[dict[str, Future[tuple[Outcome, Outcome]]]]:
    """All rows side by side: most of their time is waiting."""
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        stages = [Stage(facility=facility, pool=facility.pool, folder=folder / row.name, row=row) for row in rows]
        try:
            yield {stage.row.name: threads.submit(play, stage.row, stage) for stage in stages}
        finally:
            threads.shutdown(cancel_futures=True)


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="stage these alone, and keep what came of the others")
    parser.add_argument("--page", action="store_true", help="write the page from the results of the last time")
    parser.add_argument("--check", action="store_true", help="only compare the page")
    arguments = parser.parse_args()
    if arguments.check:
        return 0 if PAGE.read_text(encoding="utf-8") == page(stored()) else 1
    wrong = [] if arguments.page else _stage([row for row in ROWS if row.name in arguments.rows or not arguments.rows])
    sys.stderr.writelines(f"{problem}\n" for problem in wrong)
    PAGE.write_text(page(stored()), encoding="utf-8")
    return 1 if wrong else 0


def _stage(rows: Sequence[Row]) -> list[str]:
    """Keep what came of rows, and return what came otherwise than they say; that is not kept."""
    results, wrong = dict(stored()) if RESULTS.is_file() else {}, []
    with (
        Facility() as facility,
        tempfile.TemporaryDirectory() as folder,
        staging(rows, facility, Path(folder)) as futures,
    ):
        for row in rows:
            outcomes = futures[row.name].result()
            problems = unexpected(row, *outcomes)
            wrong += [f"{row}: {problem}" for problem in problems]
            if not problems:
                results[row.name] = seen(outcomes)
    kept = {row.name: results[row.name] for row in ROWS if row.name in results}
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
