"""The package's root lists the public names and loads each when it is used."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import omniq_flow

ALIASES = {"JobCtx": "JobContext"}
HEAVY = ("redis", "networkx", "textual", "typer", "pydantic")


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return set(json.loads(done.stdout))


def test_the_root_alone_loads_nothing_heavy() -> None:
    assert loaded_by("import omniq_flow").isdisjoint(HEAVY)


def test_writing_a_flow_loads_neither_a_client_nor_a_screen() -> None:
    assert loaded_by("from omniq_flow import Flow, Retry, StepContext, each, gather, result").isdisjoint({"redis", "textual", "typer"})


@pytest.mark.parametrize("name", omniq_flow.__all__)
def test_a_public_name_resolves_to_its_own_module(name: str) -> None:
    value = getattr(omniq_flow, name)
    assert value.__module__ == omniq_flow._HOME[name]
    assert value.__name__ == ALIASES.get(name, name)
    assert value.__doc__


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    tree = ast.parse(Path(omniq_flow.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == omniq_flow._HOME


def test_every_error_is_public() -> None:
    from omniq_flow import errors

    own = {name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__}
    assert {name for name in own if not name.startswith("_")} <= set(omniq_flow.__all__)


def test_dir_lists_the_public_names() -> None:
    assert set(omniq_flow.__all__) <= set(dir(omniq_flow))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Flwo'"):
        getattr(omniq_flow, "Flwo")  # noqa: B009
