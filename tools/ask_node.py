"""Asking a node through the gateway that hears it, and what a person is told when it is silent."""

from __future__ import annotations

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


def is_silence(error: GatewayError, node: int) -> bool:
    """Whether the gateway says by this that the node did not answer in time."""
    return error.where == f"node {node}" and "no answer" in error.what
