"""Links beside the log of a CI job, `artifacts:reports:annotations`. Pure.

GitLab takes 80 KiB, 20 sections with names of up to 255 characters, and 1,000 links in each
(`ci_job_annotations_size`, `ci_job_annotations_num`, and the schema of a job annotation).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from septum.report import page
from septum.report.links import artifact_link, web_link
from septum.report.material import Material
from septum.report.text import visible

NAME = "annotations.json"
MAX_LINKS = 50
_MAX_URL = 1000


def text(material: Material, *, folder: PurePath, environ: Mapping[str, str]) -> str:
    """Links to the page, to the workflows on REANA, to the results, to where they were published, and to the reference.

    Args:
        material: What is shown.
        folder: The result folder, as the CI job sees it.
        environ: The environment of the CI job.

    Returns:
        JSON; without links, as on a laptop, an empty object.
    """
    found: dict[str, list[dict[str, dict[str, str]]]] = {}
    seen: set[tuple[str, str]] = set()
    for section, label, url in _links(material, folder, environ):
        links = found.setdefault(section, [])
        if url and len(url) <= _MAX_URL and len(links) < MAX_LINKS and (section, url) not in seen:
            seen.add((section, url))
            links.append({"external_link": {"label": visible(label, 100), "url": url}})
    return json.dumps({section: links for section, links in found.items() if links}, indent=1) + "\n"


def _links(material: Material, folder: PurePath, environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    manifest, comparison = material.manifest, material.comparison
    yield "Report", "Report: verdict, plots, yields, failures", artifact_link(environ, folder, page.NAME)
    for shown, url in manifest.pages.items():
        yield "REANA", f"REANA workflow {shown}", web_link(url)
    for result in manifest.results:
        name = result.file.rsplit("/", 1)[-1]
        if result.url:
            yield "Results", f"{name} (published)", web_link(result.url)
        else:
            yield "Results", name, artifact_link(environ, folder, result.file, raw=True)
    if comparison is not None and comparison.reference is not None:
        label = f"Compared with {comparison.reference.describe()}"
        yield "Reference", label, web_link(comparison.reference.url)
    for part in manifest.parts:
        for output in part.outputs:
            if output.url:
                yield "Outputs of parts", f"part {part.id}: {output.path}", web_link(output.url)
