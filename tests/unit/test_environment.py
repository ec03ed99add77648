"""What of the environment the user's own code gets."""

from __future__ import annotations

import pytest

from septum.environment import for_supervised, for_user_code


@pytest.mark.parametrize(
    "name",
    [
        "CI_JOB_TOKEN",
        "IAM_CLIENT_SECRET",
        "CI_REGISTRY_PASSWORD",
        "PASSPHRASE",
        "my_password",
        "CI_JOB_JWT_V2",
        "AWS_ACCESS_KEY_ID",
        "SSH_PRIVATE_KEY",
        "SSHKEY_PRIVATE",
        "HTTP_AUTH",
        "X509_PROXY",
        "VOMS_PROXY",
        "grid_proxy",
        "PROXY",
        "vomsproxy",
        "BEARER_TOKEN",
        "DB_CREDENTIALS",
        "SEPTUM_CLUSTER_SCHEDD",
        "GITLAB_USER_EMAIL",
    ],
)
def test_secrets_are_left_out(name: str) -> None:
    """By the usual words in a name, whatever its case."""
    assert for_user_code({name: "x"}, secrets=[]) == {}


def test_the_secrets_of_the_cluster_are_left_out_by_name() -> None:
    """A profile may call them what it likes."""
    assert for_user_code({"MY_ID": "a", "OTHER": "b"}, secrets=["MY_ID"]) == {"OTHER": "b"}


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "HOME",
        "LD_LIBRARY_PATH",
        "CI_COMMIT_SHA",
        "CMSSW_BASE",
        "KEYBOARD",
        "MONKEY",
        "AUTHOR",
        "http_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "all_proxy",
        "BEARER_TOKEN_FILE",
        "X509_USER_PROXY",
        "X509_CERT_DIR",
        "KRB5CCNAME",
    ],
)
def test_harmless_variables_stay(name: str) -> None:
    """With their values, to the last character; paths that tools need among them."""
    assert for_user_code({name: "a\n'b' $c"}, secrets=[]) == {name: "a\n'b' $c"}


def test_the_environment_itself_is_not_changed() -> None:
    """A new mapping comes back."""
    environ = {"CI_JOB_TOKEN": "x", "PATH": "/bin"}
    for_user_code(environ, secrets=[])

    assert environ == {"CI_JOB_TOKEN": "x", "PATH": "/bin"}


def test_a_password_in_a_url_is_left_out() -> None:
    """GitLab's address of the repository holds the token of the CI job."""
    environ = {
        "CI_REPOSITORY_URL": "https://gitlab-ci-token:glcbt-1@gitlab.test/a/b.git",
        "HOME_PAGE": "https://a.test:8/",
    }

    assert for_user_code(environ, secrets=()) == {"HOME_PAGE": "https://a.test:8/"}


@pytest.mark.parametrize(
    "name", ["DB_PASS", "MYSQL_PWD", "SSHPASS", "NETRC", "KUBECONFIG", "GITHUB_TOKEN", "EOS_PASSWORD"]
)
def test_names_of_secrets_are_left_out_everywhere(name: str) -> None:
    """User code gets none of them, nor does a command under supervision; folders and septum's own settings stay."""
    kept = {"PWD": "/a", "OLDPWD": "/b", "HARMLESS": "1"}
    environ = {**kept, name: "something"}

    assert for_user_code(environ, secrets=[]) == kept
    settings = {"SEPTUM_CLUSTER_CLIENT_SECRET_VARIABLE": "NAME"}
    found = for_supervised({**environ, **settings}, secrets=[], given={}, is_secret=lambda _: False)
    assert found == {**kept, **settings}
    assert name in for_supervised(environ, secrets=[], given={}, is_secret=lambda _: False, keep=[name])


def test_the_ticket_that_submits_is_kept_from_user_code() -> None:
    """A supervisor names it for septum, not for the lines under `prepare`; a user's own ticket stays."""
    supervised = {"SEPTUM_CREDENTIALS": "/run/x", "KRB5CCNAME": "FILE:/run/x/ticket"}

    assert for_user_code(supervised, secrets=[]) == {}
    assert for_user_code({"KRB5CCNAME": "FILE:/tmp/mine"}, secrets=[]) == {"KRB5CCNAME": "FILE:/tmp/mine"}
