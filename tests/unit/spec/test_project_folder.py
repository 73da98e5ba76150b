"""Where a project is, and which spec is meant when none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.spec import project_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_project_is_the_nearest_folder_upward_with_environments(tmp_path: Path) -> None:
    outer, inner = tmp_path, tmp_path / "a" / "inner"
    deep = inner / "inference_code" / "toy"
    deep.mkdir(parents=True)
    assert project_folder.find(deep) is None
    (outer / "config" / "env").mkdir(parents=True)
    assert project_folder.find(deep) == outer
    (inner / "config").mkdir()
    assert project_folder.find(deep) == outer
    (inner / "config" / "env").mkdir()
    assert project_folder.find(deep) == project_folder.find(inner) == inner
    project_folder.require(inner)
    with pytest.raises(UserError, match="no project here"):
        project_folder.require(deep)


def test_the_only_spec_of_a_project_is_meant_and_of_several_svd_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "config" / "env").mkdir(parents=True)
    (tmp_path / "config" / "env" / "local.yaml").touch()
    with pytest.raises(UserError, match="the project has no spec"):
        project_folder.default_spec(tmp_path)
    (tmp_path / "config" / "b.yaml").touch()
    assert project_folder.default_spec(tmp_path) == tmp_path / "config" / "b.yaml"
    (tmp_path / "config" / "a.yaml").touch()
    with pytest.raises(UserError, match="2 specs") as caught:
        project_folder.default_spec(tmp_path)
    assert caught.value.details == ("--config config/a.yaml", "--config config/b.yaml")
    (tmp_path / "config" / "svd.yaml").touch()
    assert project_folder.default_spec(tmp_path) == tmp_path / "config" / "svd.yaml"
