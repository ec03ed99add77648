"""Cluster profiles: values, layers, origins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from septum.cli import parser
from septum.cli.answer import answering, is_asked
from septum.clusters.catalog import load_profile, own_names, shipped_names
from septum.clusters.profile import DURATIONS, SIZES, Profile, keys, variable_of
from septum.errors import ClusterUnusableError, ProfileError, UsageError
from septum.yamltext import read

_SHIPPED = Path(load_profile.__code__.co_filename).parent
_ROOT = Path("/nonexistent")
_COMPLETE = """
method: htcondor
collector: cm.example.org:9618
schedd: schedd.example.org
authentication: scitokens
"""


def _write(root: Path, text: str, name: str = "mine.yaml") -> Path:
    (root / "clusters").mkdir(exist_ok=True)
    path = root / "clusters" / name
    path.write_text(text)
    return path


def _load(text: str, root: Path, **environ: str) -> Profile:
    _write(root, text)
    return load_profile("mine", environ=environ, root=root, complete=False).profile


def test_shipped_names() -> None:
    """These profiles come with septum."""
    assert shipped_names() == ["cern-lxbatch", "htcondor-ce", "infn-af", "local", "reana", "reana-cern"]


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_values_have_source_and_date(name: str) -> None:
    """Every value of a shipped profile carries where it is from and when that was read."""
    data: Any = read(_SHIPPED / f"{name}.yaml").data

    for key, entry in data.items():
        assert set(entry) == {"value", "source", "date"}, key
        assert entry["source"]
        assert re.fullmatch(r"20\d\d-[01]\d(-[0-3]\d)?", entry["date"])
    assert {"title", "method", "usable", "verified"} <= set(data)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_profiles_load(name: str) -> None:
    """Every shipped profile is valid, and knows the origin of each key."""
    loaded = load_profile(name, environ={}, root=_ROOT, complete=False)

    assert loaded.profile.name == name
    assert list(loaded.origins) == list(keys())
    assert loaded.origins["method"].kind == "shipped"
    assert loaded.origins["method"].detail.startswith(f"{name}.yaml:")
    assert loaded.origins["slots"].kind in {"default", "shipped"}


def test_local_is_complete() -> None:
    """The local cluster needs nothing from the user."""
    profile = load_profile("local", environ={}, root=_ROOT).profile

    assert (profile.method, profile.usable, profile.authentication, profile.credentials) == (
        "local",
        True,
        "none",
        "none",
    )


def test_infn_af_needs_a_schedd() -> None:
    """What the site does not publish is asked from the user, with the variable's name."""
    with pytest.raises(ProfileError, match="schedd") as caught:
        load_profile("infn-af", environ={}, root=_ROOT)
    loaded = load_profile("infn-af", environ={"SEPTUM_CLUSTER_SCHEDD": "schedd.example.org"}, root=_ROOT)

    assert "SEPTUM_CLUSTER_SCHEDD" in caught.value.fix
    assert loaded.profile.schedd == "schedd.example.org"
    assert loaded.profile.collector == "131.154.98.185:30618"
    assert loaded.profile.attributes == {}
    assert loaded.profile.verified == "never"


def test_lxbatch_needs_a_schedd() -> None:
    """CERN gives every user a schedd, which the user names; then all is there."""
    with pytest.raises(ProfileError, match="schedd") as caught:
        load_profile("cern-lxbatch", environ={}, root=_ROOT)
    profile = load_profile("cern-lxbatch", environ={"SEPTUM_CLUSTER_SCHEDD": "bigbird99.cern.ch"}, root=_ROOT).profile

    assert "SEPTUM_CLUSTER_SCHEDD" in caught.value.fix
    assert (profile.authentication, profile.credentials, profile.verified) == ("kerberos", "none", "never")
    assert (profile.send_credential, profile.credential_producer) == (True, "/usr/bin/batch_krb5_credential")
    assert (profile.max_jobs_per_submission, profile.max_jobs_per_owner) == (100, 500)


_REANA = "method: reana\nreana-server: https://reana.example.org:8443/\ncredentials: access-token\n"


def test_reana_cern_is_complete() -> None:
    """It needs a token of the user, and nothing else; its values are those that are published."""
    profile = load_profile("reana-cern", environ={}, root=_ROOT).profile

    assert (profile.method, profile.access_point, profile.reana_token_in) == ("reana", "reana.cern.ch", "query")
    assert (profile.credentials, profile.access_token_variable) == ("access-token", "REANA_ACCESS_TOKEN")
    assert (profile.reana_compute_backend, profile.reana_workspace, profile.verified) == (
        "kubernetes",
        "delete",
        "never",
    )
    assert (profile.poll_floor, profile.starts_images, profile.parts_per_submission) == (10, True, 2000)


def test_reana_needs_a_server() -> None:
    """The generic profile asks for it, with the variable's name."""
    with pytest.raises(ProfileError, match="reana-server") as caught:
        load_profile("reana", environ={}, root=_ROOT)
    address = {"SEPTUM_CLUSTER_REANA_SERVER": "https://reana.example.org:8443/"}

    assert "SEPTUM_CLUSTER_REANA_SERVER" in caught.value.fix
    assert load_profile("reana", environ=address, root=_ROOT).profile.access_point == "reana.example.org:8443"


def test_reana_by_a_broker(tmp_path: Path) -> None:
    """A broker's token needs an audience, and no scope: what it allows is REANA's to say."""
    text = _REANA.replace("access-token", "broker") + "token-broker: https://broker.example.org/t\n"
    _write(tmp_path, text)

    with pytest.raises(ProfileError, match="does not know: audience "):
        load_profile("mine", environ={}, root=tmp_path)
    assert load_profile("mine", environ={"SEPTUM_CLUSTER_AUDIENCE": "reana"}, root=tmp_path).missing == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_REANA.replace("access-token", "none"), "REANA lets nobody in without a token"),
        (_REANA.replace("access-token", "iam-client"), "must be access-token or broker"),
        (_REANA + "authentication: kerberos", "'authentication' is HTCondor's"),
        (_REANA + "image-method: singularity-image", "REANA starts images by their names"),
        (_REANA + "requirements: true", "are HTCondor's"),
        (_REANA + "lease: 3 min", "twice 'poll-ceiling'"),
        (_REANA + "storage-audience: https://a", "the only one of its kind"),
        (_REANA.replace("https:", "http:"), "begins with https://"),
        (_REANA + "reana-cvmfs: cms.cern.ch", "expected a list"),
        (_REANA + "reana-cvmfs: ['cms.cern.ch; rm']", "a repository such as"),
        (_REANA + "reana-compute-backend: slurm", "expected 'kubernetes', 'htcondorcern' or 'slurmcern'"),
        (_REANA + "reana-htcondor-max-runtime: tomorow", "seconds, or one of espresso"),
        (_REANA + "reana-htcondor-max-runtime: '0'", "seconds, or one of espresso"),
        (_REANA + "reana-slurm-partition: 'a b'", "the name of a partition"),
        (_REANA + "reana-workspace: archive", "expected 'delete' or 'keep'"),
        (_REANA + "access-token-variable: a-b", "the name of a variable"),
        ("method: htcondor\ncredentials: access-token", "is for 'method: reana', and 'method' is htcondor"),
        ("method: local\ncredentials: access-token", "is for 'method: reana', and 'method' is local"),
    ],
)
def test_reana_that_cannot_be(tmp_path: Path, text: str, words: str) -> None:
    """What is HTCondor's, and what a server would refuse, is refused before anything starts."""
    with pytest.raises(ProfileError) as caught:
        _load(text + "\n", tmp_path)

    assert words in caught.value.evidence


def test_a_lease_is_measured_by_what_reads_it(tmp_path: Path) -> None:
    """A step of REANA looks at its lease by itself: the schedd's interval is not waited for."""
    assert _load(_REANA + "lease: 20 min\n", tmp_path).lease == 1200


def test_unusable(tmp_path: Path) -> None:
    """A profile can exist and say why it cannot be used."""
    _write(tmp_path, _COMPLETE + "usable: false\nunusable-because: it is a mainframe\n")

    with pytest.raises(ClusterUnusableError, match="it is a mainframe"):
        load_profile("mine", environ={}, root=tmp_path)


def test_kerberos(tmp_path: Path) -> None:
    """A user's own profile can ask for Kerberos, with the variables' usual names or others."""
    text = _COMPLETE.replace("scitokens", "kerberos")
    usual = _load(text, tmp_path)
    other = _load(text + "keytab-variable: MY_KEYTAB\njob-tokens: [cms]\n", tmp_path)

    assert (usual.principal_variable, usual.keytab_variable) == ("KRB5_PRINCIPAL", "KRB5_KEYTAB")
    assert (usual.password_variable, usual.send_credential, usual.job_tokens) == ("KRB5_PASSWORD", False, [])
    assert (other.keytab_variable, other.job_tokens) == ("MY_KEYTAB", ["cms"])


def test_layers_in_order(tmp_path: Path) -> None:
    """Default, file, variable, --set: a later layer wins, and each value says which it is."""
    _write(
        tmp_path, _COMPLETE + "refresh: 10 min\npoll-floor: 20 s\npoll-ceiling: 50 s\nslots: {value: 3, source: me}\n"
    )

    loaded = load_profile(
        "mine",
        environ={"SEPTUM_CLUSTER_POLL_FLOOR": "30 s", "SEPTUM_CLUSTER_POLL_CEILING": "60 s", "SEPTUM_CLUSTER": "x"},
        root=tmp_path,
        overrides={"poll-ceiling": "70 s"},
    )

    profile, origins = loaded.profile, loaded.origins
    assert (profile.refresh, profile.poll_floor, profile.poll_ceiling, profile.slots) == (600, 30, 70, 3)
    assert (origins["refresh"].kind, origins["refresh"].detail) == ("file", "clusters/mine.yaml:6")
    assert (origins["poll-floor"].kind, origins["poll-floor"].detail) == ("variable", "SEPTUM_CLUSTER_POLL_FLOOR")
    assert (origins["poll-ceiling"].kind, origins["poll-ceiling"].detail) == ("set", "--set poll-ceiling")
    assert origins["slots"].detail == "clusters/mine.yaml:9: me"
    assert (origins["lease"].kind, origins["lease"].detail) == ("default", "septum's default")


def test_lists_and_mappings_from_variables(tmp_path: Path) -> None:
    """A list is written with spaces, a mapping as lines."""
    profile = _load(
        _COMPLETE,
        tmp_path,
        SEPTUM_CLUSTER_SCOPE=" a  b\nc ",
        SEPTUM_CLUSTER_ATTRIBUTES='Owner="condor"\n\n JobFlavour = "work=day"\nN=-1.5e3\n',
    )

    assert profile.scope == ["a", "b", "c"]
    assert profile.attributes == {"Owner": '"condor"', "JobFlavour": '"work=day"', "N": "-1.5e3"}


def test_empty_variable_is_unset(tmp_path: Path) -> None:
    """CI hands over an empty variable for an input that nobody filled in; --set can empty a value."""
    _write(tmp_path, _COMPLETE + "image-prefix: /a/\n")

    loaded = load_profile("mine", environ={"SEPTUM_CLUSTER_IMAGE_PREFIX": ""}, root=tmp_path)
    emptied = load_profile("mine", environ={}, root=tmp_path, overrides={"image-prefix": ""})

    assert loaded.profile.image_prefix == "/a/"
    assert emptied.profile.image_prefix == ""


@pytest.mark.parametrize(
    ("environ", "overrides", "words"),
    [
        ({"SEPTUM_CLUSTER_SCHED": "x"}, {}, "SEPTUM_CLUSTER_SCHED: .*did you mean 'SEPTUM_CLUSTER_SCHEDD'"),
        ({"SEPTUM_CLUSTER_POL_FLOR": "x"}, {}, "did you mean 'SEPTUM_CLUSTER_POLL_FLOOR'"),
        ({"SEPTUM_CLUSTER_ZZZZZZZZ": "x"}, {}, "no such key"),
        ({}, {"poll_floor": "1 s"}, "did you mean 'poll-floor'"),
        ({}, {"": "1 s"}, "no such key"),
        ({"SEPTUM_CLUSTER_NAME": "x"}, {}, "'name' says what the profile is"),
        ({}, {"usable": "true"}, "'usable' says what the profile is"),
        ({}, {"verified": "2026-01-01"}, "'verified' says what the profile is"),
        ({"SEPTUM_CLUSTER_ATTRIBUTES": "Owner"}, {}, "expected lines"),
    ],
)
def test_unknown_overrides(environ: dict[str, str], overrides: dict[str, str], words: str) -> None:
    """A variable or an override that names no key is an error, with the nearest name."""
    with pytest.raises(UsageError, match=words):
        load_profile("local", environ=environ, root=_ROOT, overrides=overrides)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "no cluster is named"),
        ("infn", "did you mean 'infn-af'"),
        ("zzz", "there is no cluster 'zzz'"),
        ("./absent.yaml", "no such file"),
        ("absent.yml", "no such file"),
        ("..", "there is no cluster"),
        ("./", "not a regular file"),
        ("clusters/", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("a\0/b", "cannot be read"),
    ],
)
def test_not_found(tmp_path: Path, name: str, words: str) -> None:
    """An unknown name says which names there are; a path says what is wrong with it."""
    _write(tmp_path, _COMPLETE)

    with pytest.raises(ProfileError, match=words) as caught:
        load_profile(name, environ={}, root=tmp_path)

    assert caught.value.fix


def test_own_profiles(tmp_path: Path) -> None:
    """A profile is found by its name in clusters/, by a relative path, and by an absolute one outside."""
    root = tmp_path / "repository"
    root.mkdir()
    _write(root, _COMPLETE, "mine.yaml")
    _write(root, _COMPLETE, "other.yml")
    outside = tmp_path / "outside.yaml"
    outside.write_text(_COMPLETE + "name: far\n")

    names = [
        load_profile(name, environ={}, root=root).profile.name
        for name in ("mine", "other", "clusters/mine.yaml", "../outside.yaml", str(outside))
    ]

    assert own_names(root) == ["mine", "other"]
    assert names == ["mine", "other", "mine", "far", "far"]


@pytest.mark.parametrize(("cluster", "text"), [("local", ""), ("clusters/local.yaml", ""), ("mine", "name: local\n")])
def test_shipped_names_are_taken(tmp_path: Path, cluster: str, text: str) -> None:
    """A user's profile cannot pass for one that comes with septum."""
    _write(tmp_path, _COMPLETE + text, "mine.yaml" if text else "local.yaml")

    with pytest.raises(ProfileError, match="comes with septum"):
        load_profile(cluster, environ={}, root=tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("collector: cm.example.org", "collector: expected host:port"),
        ('collector: "a:1, b:2"', "expected host:port"),
        ("schedd: a b", "expected a name such as"),
        ('schedd: "a\\nqueue 1000"', "one line"),
        ('title: "x\\ty"', "one line"),
        ('image-prefix: "/a\\u2028/"', "one line"),
        ("issuer: http://iam.example.org/", "begins with https://"),
        ("issuer: https://iam.example.org/?x=1", "begins with https://"),
        ("issuer: https://user@iam.example.org/", "begins with https://"),
        ("audience: a b", "without spaces"),
        ("scope: a b", "expected a list"),
        ("scope: [a b]", "without spaces"),
        ("client-secret-variable: a-b", "the name of a variable"),
        ("storage-audience: https://a", "'storage-audience' asks for a token, and 'credentials' is none"),
        ("storage-audience: a b", "without spaces"),
        ("token-broker: http://b.example.org", "begins with https://"),
        ("token-broker: https://b.example.org/?token=x", "begins with https://"),
        ("proxy-broker: https://user:password@b.example.org/", "begins with https://"),
        ("proxy-broker-kind: exchange", "expected 'cat' or 'bearer'"),
        ("client-auth: none", "expected 'basic', 'post' or 'private-key-jwt'"),
        ("proxy-variable: A  B", "with spaces between"),
        ("proxy-variable: A-B", "with spaces between"),
        ("expect-vo: /cms", "the name of a VO"),
        ("expect-fqan: cms", "a group or role"),
        ("expect-account: a b", "an account"),
        ("job-tokens: [a/b]", "the name of a service"),
        ("proxy: maybe", "expected 'no', 'optional' or 'required'"),
        ("proxy: yes", "expected 'no', 'optional' or 'required'"),
        ("usable: yes", "write true or false"),
        ("usable: false", "'unusable-because' must say why"),
        ("verified: yesterday", "a date such as"),
        ("attributes: {+Owner: '\"x\"'}", "is not the name of an attribute"),
        ("attributes: {Owner: condor}", r"expected a number, true, false or a text in \"…\""),
        ('attributes: {Owner: \'"a" || "b"\'}', "expected a number"),
        ("attributes: {Owner: '\"$ENV(X)\"'}", "must not hold"),
        ("attributes: {TimerRemove: 5}", "set by septum itself"),
        ("attributes: {SeptumRun: '\"x\"'}", "set by septum itself"),
        ('attributes: {Owner: "\\"a\\nqueue\\""}', "one line"),
        ("requirements: a) || (true", "complete ClassAd expression"),
        ("requirements: (a", "complete ClassAd expression"),
        ("requirements: 'Site == \"x'", "complete ClassAd expression"),
        ("requirements: $(x) == 1", "must not hold"),
        ("poll-floor: 5", "expected a duration"),
        ("poll-floor: 5 min", "'poll-floor' is longer than 'poll-ceiling'"),
        ("lease: 20 min", "twice 'update-interval'"),
        ("default-memory: 2 h", "expected a size"),
        ("slots: -1", "at least 0"),
        ("max-jobs-per-owner: 0", "at least 1"),
        ("idle-limit: 5 h", "unknown key"),
        ("max_jobs_per_owner: 5", "did you mean 'max-jobs-per-owner'"),
        ("slots: {value: 3}", "expected a whole number, got a mapping"),
        ("slots: {value: 3, source: x, when: y}", "expected a whole number, got a mapping"),
    ],
)
def test_refused_values(tmp_path: Path, line: str, words: str) -> None:
    """A wrong value is refused with the file, the key and what is expected."""
    text = "\n".join(old for old in _COMPLETE.splitlines() if not line.startswith(f"{old.split(':')[0]}:") or not old)

    with pytest.raises(ProfileError) as caught:
        _load(f"{text}\n{line}\n", tmp_path)

    assert re.search(words, caught.value.evidence)
    assert caught.value.evidence.startswith("clusters/mine.yaml:")


def test_good_requirements(tmp_path: Path) -> None:
    """Quotes may hold parentheses."""
    text = '(Site == "a)") && regexp("x\\"(", Name)'

    assert _load(_COMPLETE + f"requirements: '{text}'\n", tmp_path).requirements == text


def test_wrong_variable_is_named() -> None:
    """A wrong value from outside is blamed on the variable, not on the file."""
    with pytest.raises(ProfileError) as caught:
        load_profile("local", environ={"SEPTUM_CLUSTER_SLOTS": "many"}, root=_ROOT, overrides={"poll-floor": "soon"})

    assert "SEPTUM_CLUSTER_SLOTS: slots: expected a whole number, got 'many'" in caught.value.evidence
    assert "--set poll-floor: poll-floor: expected a duration" in caught.value.evidence


def test_not_a_mapping(tmp_path: Path) -> None:
    """A profile that is a list is refused."""
    with pytest.raises(ProfileError, match="1 problem"):
        _load("- a\n", tmp_path, SEPTUM_CLUSTER_SCHEDD="x")


def test_every_key_is_described() -> None:
    """Descriptions, units and variables exist for every key."""
    fields = Profile.model_fields
    durations = {n for n, f in fields.items() if any("_seconds" in repr(m) for m in f.metadata)}
    sizes = {n for n, f in fields.items() if any("_bytes" in repr(m) for m in f.metadata)}

    assert all(field.description for field in fields.values())
    assert durations == DURATIONS
    assert sizes == SIZES
    assert variable_of("poll-floor") == "SEPTUM_CLUSTER_POLL_FLOOR"
    assert (
        Profile.model_json_schema()["properties"]["poll-floor"].items() >= {"type": "string", "default": "15 s"}.items()
    )
    assert Profile(name="x", method="local").poll_floor == 15
    assert get_args(fields["method"].annotation) == ("htcondor", "local", "reana")


def _cli(*words: str) -> int:
    args = parser().parse_args(["cluster", *words])
    with answering(asked=is_asked(args)):
        return int(args.handler(args))


def test_list_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` names all profiles, the broken one with its problem."""
    _write(tmp_path, _COMPLETE)
    _write(tmp_path, "method: magic\n", "broken.yaml")
    _write(tmp_path, _COMPLETE + "usable: false\nunusable-because: it is a mainframe\n", "old.yaml")

    assert _cli("list", "--root", str(tmp_path), "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert _cli("list", "--root", str(tmp_path)) == 0
    table = capsys.readouterr().out

    assert list(rows) == [*shipped_names(), "broken", "mine", "old"]
    assert rows["broken"]["problem"] == "clusters/broken.yaml: 1 problem"
    assert rows["old"]["usable"] is False
    assert rows["cern-lxbatch"]["usable"] is True
    assert "it is a mainframe" in table


def test_show_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`show` prints every key with its origin, also of a profile that is not complete."""
    monkeypatch.setenv("SEPTUM_CLUSTER_POLL_FLOOR", "30 s")

    assert _cli("show", "infn-af", "--set", "slots=2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert _cli("show", "infn-af", "--json") == 0
    data = json.loads(capsys.readouterr().out)

    assert len(lines) == 1 + len(keys())
    assert any(re.fullmatch(r"poll-floor +30 s +SEPTUM_CLUSTER_POLL_FLOOR", line) for line in lines)
    assert any(re.fullmatch(r"slots +2 +--set slots", line) for line in lines)
    assert any("set SEPTUM_CLUSTER_SCHEDD" in line for line in lines)
    assert data["missing"] == ["schedd"]
    assert data["values"]["poll-floor"] == {"value": 30, "origin": "variable", "detail": "SEPTUM_CLUSTER_POLL_FLOOR"}


def test_show_what_lxbatch_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """`show` says what is missing of CERN's, and from where the rest is known."""
    assert _cli("show", "cern-lxbatch") == 0
    lines = capsys.readouterr().out.splitlines()

    assert any(re.fullmatch(r"schedd +\? +needed, and not known; set SEPTUM_CLUSTER_SCHEDD", line) for line in lines)
    assert any(re.match(r"credential-producer +/usr/bin/batch_krb5_credential +.*reana-job-c", line) for line in lines)


def test_check_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check local` needs nothing; an unusable cluster is an error, and so is one of which something is not known."""
    _write(tmp_path, _COMPLETE + "usable: false\nunusable-because: it is a mainframe\n")

    assert _cli("check", "local") == 0
    assert "yes, on this machine" in capsys.readouterr().out
    with pytest.raises(ClusterUnusableError):
        _cli("check", "mine", "--root", str(tmp_path))
    with pytest.raises(ProfileError, match="schedd"):
        _cli("check", "cern-lxbatch")
    with pytest.raises(UsageError, match="KEY=VALUE"):
        _cli("check", "local", "--set", "slots")
