"""The examples in docstrings and in the README run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import spanledger
from spanledger.testing.capture import capture
from spanledger.version import __version__

SDK = Path(__file__).parents[2] / "sdk"
NOT_OURS = ("spanledger.serving", "spanledger.testing.model_server", "spanledger.__main__")


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(spanledger.__path__, "spanledger."):
        if not module.name.startswith(NOT_OURS):
            yield module.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_examples_in_docstrings_hold(name: str) -> None:
    module = importlib.import_module(name)
    if "capture" in name:
        result = doctest.testmod(module)
    else:
        with capture():
            result = doctest.testmod(module)
    assert result.failed == 0


def test_the_readmes_first_example_runs() -> None:
    (first, *_) = re.findall(r"```python\n(.*?)```", (SDK / "README.md").read_text(), re.DOTALL)
    with capture():
        exec(compile(first.replace("spanledger.init(", "dict("), "README.md", "exec"), {})


def test_the_version_is_the_packages() -> None:
    assert tomllib.loads((SDK / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_the_public_names_are_all_there() -> None:
    assert {name: getattr(spanledger, name) is not None for name in spanledger.__all__} == dict.fromkeys(
        spanledger.__all__, True
    )
    assert dir(spanledger) == sorted(spanledger.__all__)
    name = "nothing"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(spanledger, name)
