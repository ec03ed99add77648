"""Outputs whose names depend on the part, and the rules of a merge with a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from septum.errors import ConfigError, PlanError
from septum.plan import from_json, to_json
from septum.worker.sandbox import values_text
from tests.fakes.analyses import analysis_of, plan_of

SAMPLES = "command: [run]\nparts: {list: [{sample: DY}, {sample: WW}]}\n"
COMMAND = 'merge: {all.root: {output: "h_{sample}.root", with: [./merge, "-o", "2"]'


def test_each_part_writes_its_own_file(tmp_path: Path) -> None:
    """The worker gets the path with the value in it, and everything else goes by its number."""
    plan = plan_of(SAMPLES + 'outputs: ["out/h_{sample}_{part}.root", log.txt]\n', tmp_path)

    assert [plan.output_path(part, 0) for part in plan.parts] == ["out/h_DY_0000.root", "out/h_WW_0001.root"]
    assert plan.output_path(plan.parts[1], 1) == "log.txt"
    assert "SEPTUM_OUTPUT_0='out/h_WW_0001.root'\n" in values_text(plan, plan.parts[1], image="")


def test_the_result_is_named_after_the_analysis(tmp_path: Path) -> None:
    """One file of all parts, and not one a part under the name of its output."""
    plan = plan_of('name: emu\noutputs: ["h_{sample}.root"]\n' + SAMPLES, tmp_path)

    assert [(merge.result, merge.parts) for merge in plan.merges] == [("emu.root", ("0000", "0001"))]


def test_braces_can_be_themselves(tmp_path: Path) -> None:
    """Doubled, as in a command."""
    plan = plan_of(SAMPLES + 'outputs: ["h_{{sample}}.root", "{x-y}.root"]\nmerge: {}\n', tmp_path)

    assert [plan.output_path(plan.parts[0], number) for number in range(2)] == ["h_{sample}.root", "{x-y}.root"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('outputs: ["h_{simple}.root"]\n', "{simple} names no value"),
        ('outputs: ["{sample}/../h.root"]\n', "without '.', '..' and '//'"),
        ('outputs: ["h_{sample}.root", "g_{sample}.root"]\n', "say under 'merge'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(text: str, said: str, tmp_path: Path) -> None:
    """In septum.yaml, or when the plan is made."""
    with pytest.raises((ConfigError, PlanError)) as refused:
        plan_of(SAMPLES + text, tmp_path)
    assert said in str(refused.value)


@pytest.mark.parametrize("value", ["..", "a//b", "", "a/../b", '"a\\nb"'])
def test_a_value_cannot_lead_out_of_the_folder(value: str, tmp_path: Path) -> None:
    """It comes from a table, perhaps, or from the queue statement of a framework."""
    text = f'command: [run]\nparts: {{list: [{{sample: {value or chr(34) * 2}}}]}}\noutputs: ["{{sample}}/h.root"]\n'
    with pytest.raises(PlanError, match="no path of a file"):
        plan_of(text, tmp_path)


def test_a_list_is_no_name(tmp_path: Path) -> None:
    """The files of a part are several."""
    (tmp_path / "a.root").touch()
    text = 'command: [run]\nparts: {files: {glob: "*.root"}}\noutputs: ["h_{files}.root"]\n'
    with pytest.raises(PlanError, match="several texts"):
        plan_of(text, tmp_path)


def test_an_output_that_is_sent_is_refused(tmp_path: Path) -> None:
    """Of any part: one that writes nothing would bring it back."""
    (tmp_path / "h_WW.root").touch()
    with pytest.raises(PlanError, match=r"'h_WW\.root' is among the inputs"):
        plan_of(SAMPLES + 'outputs: ["h_{sample}.root"]\ninputs: ["*.root"]\n', tmp_path)


# ── merges with a command ───────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_with_a_command(tmp_path: Path) -> None:
    """Laid under the names of the outputs; the product has the name of the result."""
    plan = plan_of(SAMPLES + 'outputs: ["h_{sample}.root"]\n' + COMMAND + "}}\n", tmp_path)
    (merge,) = plan.merges

    assert (merge.command, merge.at, merge.product) == (("./merge", "-o", "2"), "h_{sample}.root", "all.root")
    assert from_json(to_json(plan), name="plan") == plan


def test_places_and_product_can_be_chosen(tmp_path: Path) -> None:
    """And what the command may change."""
    more = ', at: "in/{sample}.root", product: out/x.root, changes: ["*_up"]}}\n'
    plan = plan_of(SAMPLES + 'outputs: ["h_{sample}.root"]\n' + COMMAND + more, tmp_path)

    assert (plan.merges[0].at, plan.merges[0].product) == ("in/{sample}.root", "out/x.root")
    assert plan.merges[0].changes == ("*_up",)
    assert from_json(to_json(plan), name="plan") == plan


def test_the_only_output_need_not_be_named(tmp_path: Path) -> None:
    """Of several, one has to be."""
    one = plan_of(SAMPLES + 'outputs: ["h_{sample}.root"]\nmerge: {all.root: {with: ./merge}}\n', tmp_path)
    assert (one.merges[0].output, one.merges[0].command) == (0, "./merge")

    with pytest.raises(ConfigError, match="say which 'output'"):
        analysis_of(SAMPLES + "outputs: [a.root, b.root]\nmerge: {all.root: {with: ./merge}}\n")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "laid where that of part 0000 is"),
        (', at: "in/x.root"', "laid where that of part 0000 is"),
        (', at: "{sample}.root", product: WW.root', "where the command writes its product"),
        (', at: "{other}.root"', "{other} names no value"),
    ],
)
def test_each_output_has_a_place_of_its_own(more: str, said: str, tmp_path: Path) -> None:
    """One that another is laid over would be missing from the result."""
    text = SAMPLES + "outputs: [h.root]\nmerge: {all.root: {output: h.root, with: ./merge" + more + "}}\n"
    with pytest.raises(PlanError) as refused:
        plan_of(text, tmp_path)
    assert said in str(refused.value)
    assert refused.value.fix


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("}}\ntolerance: 1\n", "'tolerance' must be 0"),
        ("}}\ntolerance: 1%\n", "'tolerance' must be 0"),
        (", at: ../x.root}}\n", "must be a relative path"),
        (", product: /x.root}}\n", "must be a relative path"),
        (", with: []}}\n", ""),
    ],
)
def test_a_merge_with_a_command_that_cannot_be(more: str, said: str) -> None:
    """It runs over the complete set, and in the repository."""
    with pytest.raises(ConfigError) as refused:
        analysis_of(SAMPLES + 'outputs: ["h_{sample}.root"]\n' + COMMAND + more)
    assert said in str(refused.value)


def test_what_belongs_to_a_command_needs_one() -> None:
    """A list of what may change means nothing to septum's own sum."""
    with pytest.raises(ConfigError, match="are for a merge 'with' a command"):
        analysis_of(SAMPLES + 'outputs: [h.root]\nmerge: {all.root: {output: h.root, changes: ["*"]}}\n')


# ── frameworks ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tolerance", ["0", "0%", "00"])
def test_a_framework_needs_nothing_but_its_script(tolerance: str) -> None:
    """What its jobs write may stand in its submit description."""
    analysis = analysis_of(f"framework: {{script: [./submit]}}\ntolerance: {tolerance}\n")

    assert analysis.framework is not None
    assert (analysis.framework.script, analysis.framework.submissions) == (["./submit"], None)
    assert (analysis.outputs, analysis.parts, analysis.command) == ([], [], "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("framework: {script: [./submit]}\ncommand: [run]\n", "'command' and 'framework' exclude each other"),
        ("framework: {script: [./submit]}\nprepare: [make]\n", "'prepare' and 'framework' exclude each other"),
        (
            "framework: {script: [./submit]}\nparts: {list: [{a: b}]}\n",
            "'parts' and 'framework' exclude each other",
        ),
        ("framework: {}\n", "needs 'script', or 'known'"),
        ("framework: {script: [a], known: mkshapesrdf}\n", "needs 'script', or 'known'"),
        ("framework: {known: other}\n", "mkshapesrdf"),
        ("framework: {script: [a], outputs-list: l.txt}\noutputs: [h.root]\n", "exclude each other"),
        ("framework: {script: [a], keep: [../x]}\n", "must be a relative path"),
        ("name: x\n", "needs command and parts and outputs, or 'framework'"),
    ],
)
def test_a_framework_that_cannot_be(text: str, said: str) -> None:
    """One way to say what runs."""
    with pytest.raises(ConfigError) as refused:
        analysis_of(text)
    assert said in str(refused.value)
