"""Who builds, and from what commit: what the variables of GitHub Actions and git say, and no more."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from sagepack.engine import origin
from sagepack.package.attest.provenance import LOCAL

if TYPE_CHECKING:
    from pathlib import Path

ACTIONS = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_WORKFLOW_REF": "team/models/.github/workflows/publish.yml@refs/heads/main",
    "GITHUB_REPOSITORY": "team/models",
    "GITHUB_REF": "refs/pull/1/merge",
}


GITLAB = {
    "GITLAB_CI": "true",
    "CI_SERVER_URL": "https://gitlab.company:8443",
    "CI_PROJECT_PATH": "team/ml/models",
    "CI_RUNNER_ID": "42",
    "CI_COMMIT_BRANCH": "main",
}


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a commit."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "spec.yaml").write_text("name: svd\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "begin")
    return tmp_path


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    found = origin.of(tmp_path, {})
    assert (found.builder, found.project) == (LOCAL, None)


def test_a_workflow_of_github_is_the_builder_and_its_repository_the_source(project: Path) -> None:
    git(project, "remote", "add", "origin", "https://x-access-token:secret@github.com/fork/models")
    found = origin.of(project, ACTIONS)
    assert found.builder == "https://github.com/team/models/.github/workflows/publish.yml@refs/heads/main"
    assert found.project
    assert found.project.uri == "git+https://github.com/team/models@refs/pull/1/merge"
    assert found.project.clean


@pytest.mark.parametrize(
    "spoilt",
    [
        {"GITHUB_ACTIONS": "1"},
        {"GITHUB_SERVER_URL": "http://github.com"},
        {"GITHUB_SERVER_URL": ""},
        {"GITHUB_WORKFLOW_REF": "team/models/.github/workflows/a b.yml@refs/heads/main"},
        {"GITHUB_WORKFLOW_REF": "team/models"},
    ],
)
def test_variables_that_are_not_those_of_a_workflow_name_no_builder(project: Path, spoilt: dict[str, str]) -> None:
    assert origin.of(project, {**ACTIONS, **spoilt}).builder == LOCAL


@pytest.mark.parametrize(
    ("more", "ref"),
    [
        ({}, "refs/heads/main"),
        ({"CI_COMMIT_BRANCH": "", "CI_COMMIT_TAG": "v1"}, "refs/tags/v1"),
        (
            {"CI_COMMIT_BRANCH": "", "CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/7/head"},
            "refs/merge-requests/7/head",
        ),
    ],
)
def test_a_runner_of_gitlab_is_the_builder_and_its_project_the_source(
    project: Path, more: dict[str, str], ref: str
) -> None:
    git(project, "remote", "add", "origin", "https://gitlab-ci-token:secret@gitlab.company:8443/team/ml/models.git")
    git(project, "checkout", "-q", "--detach")
    found = origin.of(project, {**GITLAB, **more})
    assert found.builder == "https://gitlab.company:8443/team/ml/models/-/runners/42"
    assert found.project
    assert found.project.uri == f"git+https://gitlab.company:8443/team/ml/models@{ref}"


@pytest.mark.parametrize(
    ("spoilt", "builder", "uri"),
    [
        ({"CI_RUNNER_ID": "42?token=secret"}, LOCAL, "git+https://gitlab.company:8443/team/ml/models@refs/heads/main"),
        ({"CI_SERVER_URL": "http://gitlab.company"}, LOCAL, None),
        ({"CI_SERVER_URL": "https://user:secret@gitlab.company"}, LOCAL, None),
        ({"CI_PROJECT_PATH": "team/models\n"}, LOCAL, None),
        ({"CI_COMMIT_BRANCH": "a b"}, "https://gitlab.company:8443/team/ml/models/-/runners/42", None),
        ({"GITLAB_CI": ""}, LOCAL, None),
    ],
)
def test_variables_that_are_not_those_of_gitlab_are_not_believed(
    project: Path, spoilt: dict[str, str], builder: str, uri: str | None
) -> None:
    found = origin.of(project, {**GITLAB, **spoilt})
    assert found.project
    assert (found.builder, found.project.uri) == (builder, uri)


def test_a_changed_file_is_told_and_an_ignored_one_is_not(project: Path) -> None:
    (project / ".git" / "info" / "exclude").write_text("dist\n")
    (project / "dist").write_text("")
    found = origin.of(project, {}).project
    assert found
    assert found.clean
    (project / "spec.yaml").write_text("name: other\n")
    changed = origin.of(project, {}).project
    assert changed
    assert (changed.commit, changed.clean) == (found.commit, False)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://alice:secret@git.company/team/models.git", "git+https://git.company/team/models.git@refs/heads/main"),
        ("https://git.company:8443/models", "git+https://git.company:8443/models@refs/heads/main"),
        ("git@github.com:team/models.git", "git+ssh://github.com/team/models.git@refs/heads/main"),
        ("ssh://alice@git.company:22/team/models", "git+ssh://git.company:22/team/models@refs/heads/main"),
        (
            "https://git.company/team/models.git?private_token=secret",
            "git+https://git.company/team/models.git@refs/heads/main",
        ),
        ("https://git.company/models#secret", "git+https://git.company/models@refs/heads/main"),
        ("/home/alice/models", None),
        ("file:///home/alice/models", None),
        ("https://git.company/a b", None),
    ],
)
def test_the_address_of_a_repository_has_no_user_and_no_password(
    project: Path, remote: str, address: str | None
) -> None:
    git(project, "remote", "add", "origin", remote)
    found = origin.of(project, {}).project
    assert found
    assert found.uri == address
