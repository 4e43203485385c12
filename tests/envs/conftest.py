"""The worlds of BotEvade: a made one, and the user's own where there is one."""

import os
from pathlib import Path

import pytest

from rlp.envs import cellworld_resources as resources
from rlp.envs.cellworld_resources import CACHE, World
from tests.conftest import SHARED
from tests.envs import made_world


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_world.write(tmp_path_factory.mktemp("cellworld"))


@pytest.fixture
def small_world(made_folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv(CACHE, str(made_folder))
    return resources.read()


@pytest.fixture
def real_world(monkeypatch: pytest.MonkeyPatch) -> World:
    folder = os.environ.get(CACHE, str(SHARED / "cellworld" / "cache"))
    if not Path(folder).is_dir():
        pytest.skip(f"the files of cellworld_data are not at {folder}")
    monkeypatch.setenv(CACHE, folder)
    return resources.read()
