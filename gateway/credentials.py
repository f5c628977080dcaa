"""Secrets by file or systemd credential; never in the configuration, an argument or the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gateway.errors import GatewayError


class CredentialError(GatewayError):
    """A password file or a credential cannot be used."""

    exit_code = 2


def read_secret(file: Path | None, credential: str | None, key: str) -> str | None:
    """The secret that `key` points at, read anew each time (it may have been rotated); CredentialError if it cannot be.

    One trailing line end is not part of it. A file that group or others may read is refused.
    """
    if credential is not None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise CredentialError(
                f"{key}_credential is set, but this process has no systemd credentials",
                where=credential,
                next_step=f"Start it by systemd with LoadCredential={credential}:…, or use {key}_file",
            )
        file = Path(folder) / credential
    if file is None:
        return None
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CredentialError(
            f"{key}_file cannot be read: {error.strerror}",
            where=str(file),
            next_step="Check path, owner and mode",
        ) from None
    with open(descriptor, encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        if credential is None and stat.S_IMODE(status.st_mode) & 0o077:  # systemd guards its own folder
            raise CredentialError(
                f"{key}_file may be read by others", where=str(file), next_step=f"Run: chmod 600 {file}"
            )
        try:
            text = stream.read(65536)
        except UnicodeDecodeError:
            raise CredentialError(f"{key}_file is not UTF-8 text", where=str(file)) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise CredentialError(f"{key}_file is empty", where=str(file))
    return text
