"""Teachers that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.families.growing import Teachers


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Teachers:
    """Teachers, each made once."""
    return Teachers(tmp_path_factory.mktemp("teachers"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A cache is still passed under its old name, which all releases know."""
    renamed = pytest.mark.filterwarnings("ignore:(Both )?`past_key_values`:FutureWarning")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(renamed)
