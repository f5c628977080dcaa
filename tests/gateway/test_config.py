"""The configuration: each bad line is named with file, line and key path, all of them before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Broker, Config, ConfigError, load, parse_broker
from gateway.credentials import CredentialError, read_secret
from gateway.toml_lines import line_of

GOOD = """\
# a gateway
[gateway]
id = "gw-bochum-1"
number = 1
data_dir = "data"

[[serial]]
port = "/dev/ttyUSB0"

[[serial]]
port = "/dev/ttyUSB1"
baudrate = 921600

[mqtt]
url = "mqtt://127.0.0.1:1883"
username = "city"
password_file = "mqtt.pass"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert caught.value.exit_code == 2
    return caught.value


def test_a_good_file_with_defaults_and_paths_relative_to_it(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD))
    assert isinstance(config, Config)
    assert config.gateway.data_dir == tmp_path / "data"
    assert config.gateway.keys == tmp_path / "keys.json"
    assert [port.baudrate for port in config.serial] == [115200, 921600]
    assert config.spool.max_days == 365
    assert config.mqtt is not None
    assert config.mqtt.password_file == tmp_path / "mqtt.pass"
    assert config.mqtt.version == "3.1.1"
    assert config.mqtt.brokers == (Broker(host="127.0.0.1", port=1883, tls=False),)
    assert config.metrics is None


def test_absolute_paths_stay(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD.replace('"data"', '"/var/lib/steiger"')))
    assert config.gateway.data_dir == Path("/var/lib/steiger")


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ('id = "gw-bochum-1"\n', "", 2, "gateway: 'id' is missing"),
        ("[mqtt]", "[mqqt]", 14, "mqqt: unknown key; known are [gateway]"),
        ('id = "gw-bochum-1"', 'id = "gw bochum"', 3, "gateway.id: only 1 to 64 letters"),
        ('id = "gw-bochum-1"', "id = 3", 3, "gateway.id: expected `str`, got `int`"),
        ("number = 1", 'number = "1"', 4, "gateway.number: expected `int`, got `str`"),
        ("number = 1", "number = 70000", 4, "gateway.number: expected `int` <= 65535"),
        ("number = 1", "number = 1\ncolour = 2", 5, "gateway.colour: unknown key; known are id, number"),
        ('data_dir = "data"', "data_dir = 5", 5, "gateway.data_dir: expected `str`"),
        ('port = "/dev/ttyUSB1"\n', "", 10, "serial[1]: 'port' is missing"),
        ("/dev/ttyUSB1", "/dev/ttyUSB0", 11, "serial[1].port: duplicate port: the same as serial[0]"),
        ("baudrate = 921600", "baudrate = 3", 12, "serial[1].baudrate: expected `int` >= 1200"),
        ('[[serial]]\nport = "/dev/ttyUSB0"\n\n[[serial]]\nport', "[serial]\nport", 7, "serial: expected an array"),
        ("mqtt://127.0.0.1:1883", "http://127.0.0.1", 15, "mqtt.url: expected mqtt://HOST:PORT"),
        ("mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:99999", 15, "mqtt.url: the port is no number"),
        ("mqtt://127.0.0.1:1883", "mqtt://city:hunter2@127.0.0.1", 15, "mqtt.url: inline secret"),
        ('password_file = "mqtt.pass"', 'password = "hunter2"', 17, "mqtt.password: inline secret"),
        ('password_file = "mqtt.pass"', 'token = "hunter2"', 17, "mqtt.token: inline secret"),
        ('password_file = "mqtt.pass"', 'key = "hunter2"', 17, "mqtt.key: inline secret"),
        ('username = "city"\n', "", 14, "mqtt: 'username' is missing"),
        ('username = "city"', 'username = "city"\nca_file = "ca.pem"', 17, "mqtt.ca_file: is for TLS only"),
        ('username = "city"', 'username = "city"\nversion = "4"', 17, "mqtt.version: invalid enum value"),
        ('username = "city"', 'username = "city"\ntopic_prefix = "a/b c"', 17, "mqtt.topic_prefix: only letters"),
        ('username = "city"', 'username = "city"\ntopic_prefix = "#"', 17, "mqtt.topic_prefix: only letters"),
        ('username = "city"', 'username = "city"\nconnect_timeout_s = 3', 17, "mqtt.connect_timeout_s: expected"),
        ('username = "city"', 'username = "city"\ninflight = 20', 17, "mqtt.inflight: expected `int` <= 4"),
        ('username = "city"', 'username = "city"\npassword_credential = "m"', 17, "mqtt.password_credential:"),
        ('data_dir = "data"', 'data_dir = "~nobody-there/x"', 5, "gateway.data_dir: the user after ~ has no home"),
        ("/dev/ttyUSB1", "/dev/tty\\u0000", 11, "serial[1].port: expected the path of a port"),
        ("number = 1", "number = = 1", 4, "no valid TOML"),
        ("number = 1", "number = 1\nnumber = 2", 5, "no valid TOML"),
    ],
)
def test_each_bad_line_is_named(tmp_path: Path, old: str, new: str, line: int, expected: str) -> None:
    assert old in GOOD
    error = refused(tmp_path, GOOD.replace(old, new, 1))
    assert len(error.problems) == 1, error.problems
    assert error.problems[0].startswith(f"{tmp_path / 'gateway.toml'}:{line}: ")
    assert expected in error.problems[0]
    assert "hunter2" not in str(error)


def test_an_inline_secret_names_both_better_ways(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD.replace('password_file = "mqtt.pass"', 'password = "hunter2"'))
    assert "password_file" in str(error)
    assert "password_credential" in str(error)
    assert "$CREDENTIALS_DIRECTORY" in str(error)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("number = 1", 'number = "x"\nfoo = 1').replace("921600", "3").replace("mqtt://", "ftp://")
    error = refused(tmp_path, text)
    assert [problem.split(": ")[1] for problem in error.problems] == [
        "gateway.number",
        "gateway.foo",
        "serial[1].baudrate",
        "mqtt.url",
    ]
    assert str(error).startswith("4 problems")


def test_two_names_of_one_port_are_a_duplicate(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    (tmp_path / "by-id").symlink_to(device)
    text = GOOD.replace("/dev/ttyUSB0", str(device)).replace("/dev/ttyUSB1", str(tmp_path / "by-id"))
    assert "duplicate port" in str(refused(tmp_path, text))


FORWARDER = """
[[forwarder]]
eui = "AA555A0000000101"
address = "192.0.2.7"
listen = "0.0.0.0:1700"
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('eui = "AA555A0000000101"', 'eui = "AA55"', "forwarder[0].eui: expected 16 hex digits"),
        ('"192.0.2.7"', '"roof"', "forwarder[0].address: expected the IP address"),
        ('"0.0.0.0:1700"', '"roof:1700"', "forwarder[0].listen: expected ADDRESS:PORT"),
        ('"0.0.0.0:1700"', '"0.0.0.0:99999"', "forwarder[0].listen: expected ADDRESS:PORT"),
        ('"0.0.0.0:1700"', '"127.0.0.1:1700"', 'write listen = "0.0.0.0:1700"'),
        ('"192.0.2.7"', '"2001:db8::7"', 'write listen = "[::]:1700"'),
        ('eui = "AA555A0000000101"', 'eui = "AA555A0000000101"\nname = "a b"', "forwarder[0].name"),
        (
            "[[forwarder]]",
            FORWARDER.lower() + '\n[[forwarder]]\nname = "b"',
            "forwarder[1].eui: the same as forwarder[0]",
        ),
    ],
)
def test_what_is_wrong_with_a_concentrator(tmp_path: Path, old: str, new: str, expected: str) -> None:
    load(write(tmp_path, GOOD + FORWARDER))
    assert expected in str(refused(tmp_path, GOOD + FORWARDER.replace(old, new)))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (2 << 20)])
def test_what_is_no_configuration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"gateway\.toml"):
        load(path)


@pytest.mark.parametrize("text", ["x = " + "[" * 3000, "a" + ".a" * 1500 + " = 1", "x = " + "[" * 40 + "]" * 40])
def test_nested_too_deeply_is_named(tmp_path: Path, text: str) -> None:
    assert "nested deeper than 32 levels" in str(refused(tmp_path, text + "\n"))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is no configuration file"):
        load(tmp_path)


def test_an_empty_file_says_what_it_needs(tmp_path: Path) -> None:
    assert "[gateway] is missing" in str(refused(tmp_path, ""))


def test_brokers() -> None:
    assert parse_broker("mqtts://[::1]") == Broker(host="::1", port=8883, tls=True)
    assert str(parse_broker("mqtts://[::1]")) == "mqtts://[::1]:8883"
    assert str(parse_broker("mqtt://broker.city")) == "mqtt://broker.city:1883"
    for url in ("mqtt://", "mqtt://a:0", "mqtt://a/b", "mqtt://a?x=1", "a:1883"):
        with pytest.raises(ValueError, match=r"expected|nothing may follow"):
            parse_broker(url)


def test_secrets_are_read_anew_and_only_when_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mqtt.pass"
    file.write_text("one\n")
    file.chmod(0o600)
    assert read_secret(file, None, "password") == "one"
    file.write_text("two with space ")
    assert read_secret(file, None, "password") == "two with space "
    file.chmod(0o640)
    with pytest.raises(CredentialError, match=f"chmod 600 {file}") as caught:
        read_secret(file, None, "password")
    assert "two" not in str(caught.value)
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(CredentialError, match="is empty"):
        read_secret(file, None, "password")
    with pytest.raises(CredentialError, match="cannot be read"):
        read_secret(tmp_path / "none", None, "password")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(CredentialError, match="LoadCredential=mqtt"):
        read_secret(None, "mqtt", "password")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "mqtt").write_text("three")
    assert read_secret(None, "mqtt", "password") == "three"
    assert read_secret(None, None, "password") is None


def test_lines_of_nested_tables_arrays_and_multiline_values() -> None:
    text = (
        'a = """\n[not]\nb = 1\n"""\n'  # lines 1-4
        "list = [\n 1,\n [2],\n]\n"  # 5-8
        '"quoted.key" = 1\n'  # 9
        "[t.u]\nx.y = 1\n"  # 10, 11
        "[[s]]\np = 1\n[s.q]\nr = 1\n[[s]]\np = 2  # = 3\n"  # 12-17
        "in = { m = 1, n = 2 }\n"  # 18
    )
    assert line_of(text, ("a",)) == 1
    assert line_of(text, ("list",)) == 5
    assert line_of(text, ("quoted.key",)) == 9
    assert line_of(text, ("t", "u", "x", "y")) == 11
    assert line_of(text, ("s", 0, "p")) == 13
    assert line_of(text, ("s", 0, "q", "r")) == 15
    assert line_of(text, ("s", 1, "p")) == 17
    assert line_of(text, ("s", 1, "in", "n")) == 18
    assert line_of(text, ("s", 1, "gone")) == 16
    assert line_of(text, ("nowhere",)) == 1
