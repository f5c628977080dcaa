"""Runs vector files against wire/, on any interpreter: CPython imports it, MicroPython gets it as a script.

    run_vectors.py DIRECTORY NAME...      prints one JSON line per failure, then {"ran": N, "failed": M}

DIRECTORY holds wire/, aes_blocks.py and the vector files.
"""

import json
import sys

from wire import WireError, channels, crypto, frame, messages, profiles, records, stream
from wire.airtime import airtime_us
from wire.settings import SETTINGS


def _cipher():
    try:
        crypto.Keys(bytes(16))
        return None  # the interpreter's own
    except (NameError, TypeError):
        import aes_blocks

        return aes_blocks.new_ecb


def _keys(text, cache={}):  # noqa: B006  a cache
    if text not in cache:
        cache[text] = crypto.Keys(bytes.fromhex(text), _cipher())
    return cache[text]


def plain(value):
    """A message or what is in it as JSON has it."""
    if isinstance(value, profiles.Profile):
        return {"profile": value.encode().hex()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex() or ""  # MicroPython 1.27 gives b"" for nothing
    return value


def alive(value):
    """The reverse of `plain`."""
    if isinstance(value, dict):
        return profiles.decode_profile(bytes.fromhex(value["profile"]))
    if isinstance(value, list):
        return tuple([alive(item) for item in value])
    return value


def outcome(function, *args):
    """What it returns as JSON has it, or the error as vectors name it."""
    try:
        return plain(function(*args))
    except WireError as error:
        return {"wire_error": error.reason}
    except ValueError:
        return "ValueError"


CLASSES = {row[1].__name__: row[1] for row in messages.TABLE}


def _encode_message(name, values):
    return messages.encode(CLASSES[name](*alive(values)))


def _decode_message(code, payload):
    return messages.decode(code, bytes.fromhex(payload))


def _profile(items, window_s, calibration, version):
    profile = profiles.Profile(alive(items), window_s, calibration, version)
    return [profile.encode(), profile.id, profile.short]


def _ecb(key):
    new = _cipher() or crypto.new_ecb
    return new(bytes.fromhex(key))


def _ccm_seal(key, nonce, aad, payload, tag_len):
    return crypto.ccm_seal(_ecb(key), bytes.fromhex(nonce), bytes.fromhex(aad), bytes.fromhex(payload), tag_len)


def _ccm_open(key, nonce, aad, sealed, tag_len):
    return crypto.ccm_open(_ecb(key), bytes.fromhex(nonce), bytes.fromhex(aad), bytes.fromhex(sealed), tag_len)


def _seal_uplink(key, link, address, counter, code, payload):
    return frame.seal_uplink(_keys(key), link, address, counter, code, bytes.fromhex(payload))


def _open_downlink(key, link, data, recent, address):
    return frame.open_downlink(_keys(key), link, bytes.fromhex(data), recent, address)


def _parse_uplink(data):
    from wire import frame_gateway

    return frame_gateway.parse_uplink_header(bytes.fromhex(data))


def _open_uplink(key, link, data, counter):
    from wire import frame_gateway

    return frame_gateway.open_uplink(_keys(key), link, bytes.fromhex(data), counter)


def _seal_downlink(key, link, address, gateway, incarnation, counter, answered, code, payload):
    from wire import frame_gateway

    return frame_gateway.seal_downlink(
        _keys(key), link, address, gateway, incarnation, counter, answered, code, bytes.fromhex(payload)
    )


def _parse_stream(chunks):
    parser = stream.Parser()
    out = []
    for chunk in chunks:
        out.extend(parser.feed(bytes.fromhex(chunk)))
    return [out, sorted(parser.dropped.items())]


def _encode_records(profile, rows, now_s, hello_seq):
    rows = [records.Record(*row) for row in alive(rows)]
    return records.encode_records(alive(profile), rows, now_s, hello_seq)


def _decode_records(payload, profile, next_seq, now_s):
    from wire import records_gateway

    return records_gateway.decode_records(bytes.fromhex(payload), alive(profile), next_seq, now_s)


def _peek_records(payload, next_seq):
    from wire import records_gateway

    return records_gateway.peek_records(bytes.fromhex(payload), next_seq)


def _duty(steps):
    """What each step on one transmitter's account gives: [method of wire.duty.Spent, arguments…]."""
    from wire.duty import Spent

    spent = Spent()
    given = []
    for name, *arguments in steps:
        given.append(
            getattr(spent, name)(*[bytes.fromhex(item) if isinstance(item, str) else item for item in arguments])
        )
    return given


DO = {
    "life": lambda key: _keys(key).life,
    "subkey_ecb": lambda key, label: _derived(key, label),
    "encode_message": _encode_message,
    "decode_message": _decode_message,
    "profile": _profile,
    "decode_profile": lambda data: profiles.decode_profile(bytes.fromhex(data)),
    "ccm_seal": _ccm_seal,
    "ccm_open": _ccm_open,
    "seal_uplink": _seal_uplink,
    "open_downlink": _open_downlink,
    "fcs16": lambda data: stream.fcs16(bytes.fromhex(data)),
    "encode_stream": lambda data: stream.encode(bytes.fromhex(data)),
    "parse_stream": _parse_stream,
    "encode_records": _encode_records,
    "decode_records": _decode_records,
    "peek_records": _peek_records,
    "airtime_us": airtime_us,
    "duty": _duty,
    "channels": lambda: channels.CHANNELS,
    "settings": lambda: SETTINGS,
    # the gateway's half: hosts only
    "parse_uplink_header": _parse_uplink,
    "open_uplink": _open_uplink,
    "seal_downlink": _seal_downlink,
}
HOST_ONLY = ("parse_uplink_header", "open_uplink", "seal_downlink")


def _derived(key, label):
    out = bytearray(16)
    _ecb(key)(bytes.fromhex(label), out)
    return out


def run(cases, host):
    """(how many ran, [(case, what came instead)])."""
    ran = 0
    failures = []
    for case in cases:
        if not host and case["do"] in HOST_ONLY:
            continue
        ran += 1
        got = outcome(DO[case["do"]], *case["with"])
        if got != case["gives"]:
            failures.append((case, got))
    return ran, failures


def main(directory, names):
    """Run the files and print what failed."""
    ran = failed = 0
    for name in names:
        with open(directory + "/" + name) as file:
            cases = json.load(file)["cases"]
        done, failures = run(cases, False)
        ran += done
        failed += len(failures)
        for case, got in failures[:5]:
            print(json.dumps([name, case, got]))
    print(json.dumps({"ran": ran, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
