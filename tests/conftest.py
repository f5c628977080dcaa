"""Hypothesis profiles: `ci` is derandomized, so that a red test is red for everybody; `explore` looks further."""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(  # `make mutants`: to fail is enough, the smallest example is not asked for
    "mutants", parent=settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate]
)
settings.register_profile("explore", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest single tests first: at the end, one worker would be busy with them and the others have nothing to do."""
    items.sort(key=lambda item: item.path.parent.name != "powercut")
