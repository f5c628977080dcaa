"""Asking a node through the gateway that hears it, and what a person is told when it is silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway import control
from gateway.errors import GatewayError
from tools.errors import NoConnection

MARGIN_S = 10.0  # beyond what the gateway waits for a node, so that "no answer" is its answer


def ask(data_dir: Path, verb: str, wait_s: float, silent: NoConnection, *, node: int, **fields: Any) -> Any:
    """The answer of the gateway in `data_dir`; `silent` is raised when the node does not answer within `wait_s`."""
    try:
        return control.call(data_dir, verb, timeout_s=wait_s + MARGIN_S, node_s=wait_s, node=node, **fields)
    except GatewayError as error:
        if not is_silence(error, node):
            raise
        raise silent from None


def ask_aloud(config: Path, verb: str, wait_s: float, tell: Callable[[str], None], *, node: int, **fields: Any) -> Any:
    """`ask` the gateway of this gateway.toml, and `tell` for whom one waits. NoConnection if the node is silent."""
    from gateway.config import load

    data_dir = Path(load(config).gateway.data_dir)
    tell(f"node {node}: asking it, for at most {wait_s:g} s")
    silent = NoConnection(
        f"node {node} is silent: no answer within {wait_s:g} s",
        where=str(config),
        next_step="Look at its supply and cable and try again",
    )
    return ask(data_dir, verb, wait_s, silent, node=node, **fields)


def is_silence(error: GatewayError, node: int) -> bool:
    """Whether the gateway says by this that the node did not answer in time."""
    return error.where == f"node {node}" and "no answer" in error.what
