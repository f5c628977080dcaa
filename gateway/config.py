"""The gateway's configuration: one TOML file, checked completely before anything starts.

Every problem is named with file, line and key path, all of them at once. Secrets never stand in the file: an inline
one is an error that names the two ways (a file of mode 0600, or a systemd credential).
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.config_hat import Hat, check_hat
from gateway.config_lora import Bridge, Forwarder, Lora, check_lora
from gateway.config_types import Name, Section
from gateway.errors import GatewayError
from gateway.toml_lines import line_of
from wire.channels import CHANNELS

_CHECK = "steiger gateway check --config"
MAX_CONFIG_BYTES = 1 << 20  # a configuration is a few kB; anything larger is not one
DEPTH_MAX = 32  # levels of tables and arrays; a configuration has three

Prefix = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+){0,7}$", max_length=128)]


class ConfigError(GatewayError):
    """The configuration cannot be used. `problems` has one line each: `file:line: key path: what`."""

    exit_code = 2

    def __init__(self, path: Path, problems: list[str], next_step: str = "") -> None:
        many = len(problems) > 1
        what = f"{len(problems)} problems in the configuration:\n  " + "\n  ".join(problems) if many else problems[0]
        super().__init__(what, next_step=next_step or f"Correct {'them' if many else 'it'}, then: {_CHECK} {path}")
        self.path = path
        self.problems = problems

    def __str__(self) -> str:
        return f"{self.what}\n{self.next_step}" if len(self.problems) > 1 else super().__str__()


class Gateway(Section, frozen=True):
    """Who this gateway is and where its things lie."""

    id: Name
    number: Annotated[int, Meta(ge=1, le=65535)]  # its id on the wire: unique among gateways that hear one node
    data_dir: Path  # spool.db, control.sock, gateway.lock
    keys: Path = Path("keys.json")
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Serial(Section, frozen=True):
    """A serial port with one node behind it; it may come and go while the gateway runs."""

    port: str
    baudrate: Annotated[int, Meta(ge=1200, le=4_000_000)] = 115200


class Spool(Section, frozen=True):
    """Budget of the one SQLite file that is spool and archive; beyond it the oldest goes first, counted."""

    max_mb: Annotated[int, Meta(ge=16, le=1 << 20)] = 2048
    max_days: Annotated[int, Meta(ge=1, le=36500)] = 365


class Mqtt(Section, frozen=True):
    """The MQTT sink. Absent table: no MQTT; the archive is always a sink."""

    url: str | list[str]  # mqtt:// or mqtts://; several: tried in turn
    topic_prefix: Prefix = "steiger"
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: Name | None = None
    clean_session: bool = True
    username: str | None = None
    password_file: Path | None = None
    password_credential: Name | None = None  # a file in $CREDENTIALS_DIRECTORY (systemd LoadCredential=)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None  # the private key that belongs to cert_file
    batch_records: Annotated[int, Meta(ge=1, le=1000)] = 200
    # One message; brokers behind platforms often take no more than 256 kB.
    batch_bytes: Annotated[int, Meta(ge=16_384, le=16_777_216)] = 131_072
    # How long a first record waits for company: fewer, larger messages.
    batch_wait_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    inflight: Annotated[int, Meta(ge=1, le=4)] = 2  # batches on the way: what a fault can cause to be redelivered
    keepalive_s: Annotated[int, Meta(ge=5, le=3600)] = 15
    connect_timeout_s: Annotated[int, Meta(ge=15, le=300)] = 15  # a NATS election refuses CONNECT for more than 5 s
    confirm_timeout_s: Annotated[int, Meta(ge=5, le=600)] = 30
    backoff_max_s: Annotated[int, Meta(ge=1, le=3600)] = 60

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The brokers in the order in which they are tried."""
        urls = [self.url] if isinstance(self.url, str) else self.url
        return tuple(parse_broker(url) for url in urls)


class Metrics(Section, frozen=True):
    """Prometheus metrics, served on a local address."""

    listen: Annotated[str, Meta(pattern=r"^\S+:\d{1,5}$")] = "127.0.0.1:9105"


class Calibration(Section, frozen=True):
    """What this city wants calibrated: values of these channels that no passport speaks of are flagged."""

    required: list[str] = []


class Config(Section, frozen=True):
    """The whole file. Paths are absolute: relative ones were taken relative to the file."""

    gateway: Gateway
    serial: list[Serial] = []
    bridge: list[Bridge] = []
    hat: list[Hat] = []
    forwarder: list[Forwarder] = []
    lora: Lora = Lora()
    spool: Spool = Spool()
    mqtt: Mqtt | None = None
    metrics: Metrics | None = None
    calibration: Calibration = Calibration()
    path: Path = Path()


class Broker(msgspec.Struct, frozen=True):
    """One address of a broker."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


_TABLES: dict[str, type[Section]] = {
    "gateway": Gateway, "spool": Spool, "mqtt": Mqtt, "metrics": Metrics, "calibration": Calibration, "lora": Lora
}  # fmt: skip
_ARRAYS: dict[str, type[Section]] = {"serial": Serial, "bridge": Bridge, "hat": Hat, "forwarder": Forwarder}

_CHANNELS = {channel.name for channel in CHANNELS}

# Words that name a secret in the last part of a key; `…_file` and `…_credential` name where it lies.
_SECRET = re.compile(r"(^|_)(password|passwd|passphrase|pass|token|secret|psk|apikey|api_key|access_key|key)$")
_SECRET_HINT = (
    "inline secret. Put it into a file (mode 0600) and name that as {name}_file, "
    "or use a systemd credential ($CREDENTIALS_DIRECTORY) and name it as {name}_credential"
)


def load(path: str | os.PathLike[str]) -> Config:
    """Read and check `path`; raise ConfigError naming every problem. Nothing but the file itself is touched."""
    file = Path(path).absolute()
    text = _read(file)
    try:
        tree = tomllib.loads(text)
        if _deeper(tree, DEPTH_MAX):
            raise RecursionError
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(file, [_syntax_problem(file, text, error)]) from None
    except RecursionError:
        raise ConfigError(file, [f"{file}: tables or arrays are nested deeper than {DEPTH_MAX} levels"]) from None
    problems = _Problems(file, text)
    _find_secrets(tree, (), problems)
    sections = _convert(tree, problems)
    _check_relations(sections, problems)
    if problems.lines:
        raise ConfigError(file, problems.sorted())
    config: Config = _absolute_paths(Config(**sections, path=file), file.parent)
    return config


def _deeper(value: Any, levels: int) -> bool:
    """Whether tables and arrays are nested deeper than this."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    return any(_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value))


def parse_broker(url: str) -> Broker:
    """`mqtt://host[:port]` or `mqtts://…`; ValueError says what is wrong, without the URL's user part."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its words may repeat a password
        raise ValueError("expected mqtt://HOST:PORT or mqtts://HOST:PORT") from None
    if parts.scheme not in ("mqtt", "mqtts"):
        raise ValueError("expected mqtt://HOST:PORT or mqtts://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError("inline secret: use username and password_file (or password_credential) instead of user@host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("nothing may follow the port; the topic is set by topic_prefix")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port is no number from 1 to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError("expected mqtt://HOST:PORT or mqtts://HOST:PORT")
    tls = parts.scheme == "mqtts"
    return Broker(host=parts.hostname, port=port or (8883 if tls else 1883), tls=tls)


class _Problems:
    """Collects `file:line: key path: what`."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text
        self.lines: list[tuple[int, str]] = []
        self._paths: set[tuple[str | int, ...]] = set()

    def add(self, path: tuple[str | int, ...], what: str) -> None:
        if path in self._paths:  # one problem a key: the first is the cause
            return
        self._paths.add(path)
        line = line_of(self._text, path)
        self.lines.append((line, f"{self._file}:{line}: {_dotted(path)}: {what}"))

    def sorted(self) -> list[str]:
        return [text for _, text in sorted(self.lines)]


def _dotted(path: tuple[str | int, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(the file)"


def _read(file: Path) -> str:
    try:
        size = file.stat().st_size
        if size > MAX_CONFIG_BYTES or not file.is_file():
            raise ConfigError(file, [f"{file}: is no configuration file"])
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(file, [f"{file}: there is no such file"], "Name an existing one: --config FILE") from None
    except UnicodeDecodeError:
        raise ConfigError(file, [f"{file}: is not UTF-8 text"]) from None
    except OSError as error:
        raise ConfigError(file, [f"{file}: {error.strerror}"], "Check its owner and mode") from None


def _syntax_problem(file: Path, text: str, error: tomllib.TOMLDecodeError) -> str:
    found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    what = re.sub(r"\s*\(at .*\)$", "", str(error))
    line = found.group(1) if found else len(text.rstrip().splitlines())  # "at end of document"
    return f"{file}:{line}: no valid TOML: {what}"


def _find_secrets(value: Any, path: tuple[str | int, ...], problems: _Problems) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(item, dict | list) and _SECRET.search(key.lower()):
                problems.add((*path, key), _SECRET_HINT.format(name=key))
            _find_secrets(item, (*path, key), problems)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_secrets(item, (*path, index), problems)


def _convert(tree: dict[str, Any], problems: _Problems) -> dict[str, Any]:
    sections: dict[str, Any] = {}
    for key, value in tree.items():
        if key in _TABLES:
            sections[key] = _section(value, _TABLES[key], (key,), problems)
        elif key in _ARRAYS:
            if not isinstance(value, list):
                problems.add((key,), f"expected an array of tables: write [[{key}]]")
                continue
            sections[key] = [_section(item, _ARRAYS[key], (key, i), problems) for i, item in enumerate(value)]
        else:
            known = ", ".join([f"[{name}]" for name in _TABLES] + [f"[[{name}]]" for name in _ARRAYS])
            problems.add((key,), f"unknown key; known are {known}")
    if "gateway" not in tree:
        problems.add((), "the table [gateway] is missing; it needs id, number and data_dir")
    return sections


def _section(value: Any, kind: type[Section], path: tuple[str | int, ...], problems: _Problems) -> Any:
    """Convert one table, adding each problem; unknown and wrong keys are taken out so that all are found at once."""
    if not isinstance(value, dict):
        problems.add(path, "expected a table")
        return None
    fields = msgspec.structs.fields(kind)
    known = {field.encode_name: field for field in fields}
    good: dict[str, Any] = {}
    for key, item in value.items():
        if key not in known:
            problems.add((*path, key), f"unknown key; known are {', '.join(known)}")
            continue
        try:
            good[key] = msgspec.convert(item, known[key].type, dec_hook=_decode)
        except msgspec.ValidationError as error:
            problems.add((*path, key), _plain(str(error)))
    for field in fields:
        if field.required and field.encode_name not in value:
            problems.add(path, f"'{field.encode_name}' is missing")
            return None
    return kind(**good) if all(field.name in good or not field.required for field in fields) else None


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value and "\0" not in value:
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise ValueError("The user after ~ has no home directory here") from None
    raise ValueError("Expected `str`, the path of a file")


def _plain(message: str) -> str:
    """msgspec's sentence without its own path (ours has line and table)."""
    message = re.sub(r" - at `.*`$", "", message)
    if "matching regex" in message and "/" in message:
        return "only letters, digits, _ and -, in parts separated by single / (MQTT brokers differ on all else)"
    if "matching regex" in message and r"\S+:" in message:
        return "expected ADDRESS:PORT"
    if "matching regex" in message:
        return "only 1 to 64 letters, digits, _ and -"
    return message[:1].lower() + message[1:]


def _check_relations(sections: dict[str, Any], problems: _Problems) -> None:
    seen: dict[str, str] = {}
    ports = [(kind, index, port) for kind in ("serial", "bridge") for index, port in enumerate(sections.get(kind, []))]
    for kind, index, port in ports:
        if port is None:
            continue
        if not port.port or "\0" in port.port:
            problems.add((kind, index, "port"), "expected the path of a port, such as /dev/ttyUSB0")
            continue
        real = os.path.realpath(port.port)  # /dev/serial/by-id/… and /dev/ttyUSB0 may be one port
        if real in seen:
            problems.add((kind, index, "port"), f"duplicate port: the same as {seen[real]}")
        seen.setdefault(real, f"{kind}[{index}]")
    check_lora(sections, problems.add)
    check_hat(sections, problems.add)
    mqtt = sections.get("mqtt")
    if mqtt is not None:
        _check_mqtt(mqtt, problems)
    calibration = sections.get("calibration")
    for index, name in enumerate(calibration.required if calibration is not None else ()):
        if name not in _CHANNELS:
            problems.add(("calibration", "required", index), "no such channel; docs/wire-protocol.md lists them")


def _check_mqtt(mqtt: Mqtt, problems: _Problems) -> None:
    urls = [mqtt.url] if isinstance(mqtt.url, str) else mqtt.url
    if not urls:
        problems.add(("mqtt", "url"), "expected at least one mqtt://HOST:PORT")
    tls = []
    for url in urls:
        try:
            tls.append(parse_broker(url).tls)
        except ValueError as error:
            problems.add(("mqtt", "url"), str(error))
            return
    if len(set(tls)) > 1:
        problems.add(("mqtt", "url"), "mixed mqtt:// and mqtts://; use one of them for all brokers")
    if not all(tls):
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(mqtt, key) is not None:
                problems.add(("mqtt", key), "is for TLS only; write the url as mqtts://…")
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        problems.add(("mqtt", "cert_file" if mqtt.cert_file else "key_file"), "cert_file and key_file go together")
    if mqtt.password_file is not None and mqtt.password_credential is not None:
        problems.add(("mqtt", "password_credential"), "password_file is given too; use one of them")
    if (mqtt.password_file or mqtt.password_credential) and not mqtt.username:
        problems.add(("mqtt",), "'username' is missing: a password goes with a user name")


def _absolute_paths(section: Any, base: Path) -> Any:
    changes: dict[str, Any] = {}
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, Section):
            changes[name] = _absolute_paths(value, base)
    return msgspec.structs.replace(section, **changes)
