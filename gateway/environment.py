"""What the configuration points at, looked at before anything starts: files, folder, ports."""

from __future__ import annotations

import os
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gateway.config import Config, Mqtt
from gateway.config_hat import Hat
from gateway.credentials import read_secret
from gateway.errors import GatewayError
from gateway.keys import KeyFileMissing, load_keys


class Problem(NamedTuple):
    """One thing that is not as it should be; `key` is the key path of the configuration."""

    key: str
    what: str
    where: str
    next_step: str
    exit_code: int

    def as_error(self, config_path: Path) -> GatewayError:
        return GatewayError(
            f"{self.key} in {config_path}: {self.what}",
            where=self.where,
            next_step=self.next_step,
            exit_code=self.exit_code,
        )


def check_files(config: Config) -> list[Problem]:
    """What keeps the gateway from starting. A missing key file does not: the first node is still to be provisioned."""
    problems = [_data_dir(config.gateway.data_dir)]
    try:
        load_keys(config.gateway.keys)
    except KeyFileMissing:
        pass
    except GatewayError as error:
        problems.append(_problem("gateway.keys", error))
    if config.mqtt is not None:
        problems += _mqtt(config.mqtt)
    return [problem for problem in problems if problem is not None]


def check_ports(config: Config) -> list[Problem]:
    """Ports that cannot be opened now: missing, of another user, or held by another program (with pid and command).

    The gateway itself only says so and waits for them; asked by `steiger gateway check` while no gateway runs.
    """
    from gateway.links.port import close_port, open_port

    problems = []
    ports = [(f"serial[{index}].port", port.port, port.baudrate) for index, port in enumerate(config.serial)]
    ports += [(f"bridge[{index}].port", port.port, port.baudrate) for index, port in enumerate(config.bridge)]
    for key, path, baudrate in ports:
        try:
            close_port(open_port(path, baudrate))
        except GatewayError as error:
            problems.append(_problem(key, error))
    problems += [problem for index, hat in enumerate(config.hat) if (problem := _hat(f"hat[{index}]", hat)) is not None]
    return problems


def _hat(key: str, hat: Hat) -> Problem | None:
    """The modules, and the bus; the lines are asked for when the gateway starts."""
    device = f"/dev/spidev{hat.spi}"
    for module in ("spidev", "gpiod"):
        if find_spec(module) is None:
            step = f"Run: {sys.prefix}/bin/pip install 'steiger[hat]'"
            return Problem(key, f"the module {module} is missing", sys.prefix, step, 3)
    if not os.path.exists(device):
        return Problem(f"{key}.spi", "there is no such bus", device, "Run: sudo raspi-config nonint do_spi 0", 3)
    if not os.access(device, os.R_OK | os.W_OK):
        return Problem(f"{key}.spi", "this user may not use it", device, "Run: sudo usermod -aG spi,gpio $USER", 3)
    return None


def _problem(key: str, error: GatewayError) -> Problem:
    return Problem(key, error.what, error.where, error.next_step, error.exit_code)


def _data_dir(folder: Path) -> Problem | None:
    """It is made at the first start, so its nearest existing parent must let us."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return Problem("gateway.data_dir", "is no folder", str(existing), "Name another folder", 2)
    if not os.access(existing, os.W_OK | os.X_OK):
        step = f"Run: sudo install -d -m 700 -o $USER {folder}"
        return Problem("gateway.data_dir", "this user may not write there", str(existing), step, 2)
    return None


def _mqtt(mqtt: Mqtt) -> list[Problem]:
    problems = []
    try:
        read_secret(mqtt.password_file, mqtt.password_credential, "password")
    except GatewayError as error:
        key = "mqtt.password_file" if mqtt.password_file else "mqtt.password_credential"
        problems.append(_problem(key, error))
    if any(broker.tls for broker in mqtt.brokers):
        from gateway.forward.mqtt import tls_context

        try:
            tls_context(mqtt)
        except (GatewayError, ssl.SSLError) as error:
            facts = error if isinstance(error, GatewayError) else GatewayError(str(error))
            problems.append(_problem("mqtt.ca_file" if "ca_file" in str(error) else "mqtt.cert_file", facts))
            problems[-1] = problems[-1]._replace(exit_code=2)
    return problems
