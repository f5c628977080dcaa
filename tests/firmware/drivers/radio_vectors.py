"""Vectors of the radios: commands byte for byte, frames heard, good and bad. From the fact sheets' worked examples, or
worked out here."""

# --- SX1262 ------------------------------------------------------------------------------------------------------

CARRIER = {868_100_000: "8636419999", 868_300_000: "863644cccc", 869_525_000: "8636586666"}  # worked example 1


def commands_1262(calls: list, sent: list, results: list, note: str, replies: dict | None = None) -> dict:
    return {"do": "sx1262", "with": [{}, calls, replies or {}], "gives": [sent, results, None], "note": note}


def refused(replies: dict, words: str, note: str) -> dict:
    return {"do": "sx1262", "with": [{}, [], replies], "gives": [[], [], f"radio: {words}"], "note": note}


def heard_1262(replies: dict, result: list | None, note: str) -> dict:
    """`receive` of one frame; commands apart."""
    return {"do": "sx1262_heard", "with": [replies], "gives": result, "note": note}


def frequency_word(freq_hz: int) -> str:
    return f"86{freq_hz * 2**25 // 32_000_000:08x}"


IQ = {False: ["1d07360000", "0d07360d"], True: ["1d07360000", "0d073609"]}  # erratum 15.4: bit 2 off when inverted
AIR = ["8001", "98d7db"]
GOOD = {"12": ["00500012"], "13": ["00500400"], "1d076b": ["00505050100000"], "1e": ["005050deadbeef"]}


def sx1262() -> list[dict]:
    cases = []
    for freq_hz, word in CARRIER.items():
        assert frequency_word(freq_hz) == word
        calls = [["tune", freq_hz, 7, 22, 0], ["transmit", "00" * 20]]
        sent = [
            *AIR, word, "8b07040100", "9504070001", "8e1604", "8c000800140100", *IQ[False], "0e00" + "00" * 20,
            "1d08890000", "0d088954", "02ffff", "8300" + f"{(56 + 50) * 64:04x}", "12000000", "02ffff",
        ]  # fmt: skip
        replies = {"12": ["00500001"]}
        cases.append(commands_1262(calls, sent, [None, "sent"], "worked examples 1 to 3", replies))
    low = [["tune", 868_100_000, 12, 14, 1], ["cad"]]
    sent = [
        *AIR, CARRIER[868_100_000], "8b0c040101", "9502020001", "8e1604", "8c000800ff0101", *IQ[True],
        "88021c0a00000000", "02ffff", "c5", "12000000",
    ]  # fmt: skip
    cases.append(commands_1262(low, sent, [None, True], "SF12: LDRO; activity found", {"12": ["00500180"]}))
    cases.append(commands_1262(low, sent, [None, False], "nobody there", {"12": ["00500080"]}))
    for freq_hz in (863_000_000, 865_062_500, 867_900_000, 869_999_999):
        calls = [["tune", freq_hz, 9, 14, 0], ["cad"]]
        sent = [
            *AIR, frequency_word(freq_hz), "8b09040100", "9502020001", "8e1604", "8c000800ff0100", *IQ[False],
            "8802170a00000000", "02ffff", "c5", "12000000",
        ]  # fmt: skip
        cases.append(commands_1262(calls, sent, [None, False], f"{freq_hz} Hz", {"12": ["00500080"]}))
    sleep = [["sleep"]]
    cases.append(commands_1262(sleep, ["8001", "8404"], [None], "warm sleep"))
    cases += [
        heard_1262(GOOD | {"14": ["00509c1c9e"]}, ["deadbeef", -78, 28, -79, 0], "worked example 4; 0x0012 is good"),
        heard_1262(GOOD | {"14": ["0050e6d8f4"]}, ["deadbeef", -115, -40, -122, 0], "worked example 4, below the noise"),
        heard_1262(
            GOOD | {"14": ["00509c1c9e"], "1d076b": ["00505050102000"]},
            ["deadbeef", -78, 28, -79, 0x2000 * 31 // 256],
            "the sender is high",
        ),
        heard_1262(
            GOOD | {"14": ["00509c1c9e"], "1d076b": ["005050501fe000"]},
            ["deadbeef", -78, 28, -79, -0x2000 * 31 // 256],
            "and low",
        ),
        heard_1262(GOOD | {"12": ["00500042", "00500200"]}, None, "worked example 6: RxDone and CrcErr is dropped"),
        heard_1262({"12": ["00500200"]}, None, "worked example 6: timeout"),
        heard_1262(
            GOOD | {"14": ["00509c1c9e"], "1d076b": ["00505050000000"], "12": ["00500012", "00500200"]}, None,
            "no CRC was sent: nobody knows whether it is whole",
        ),
        heard_1262({"12": ["00500030", "00500200"]}, None, "the header was broken"),
        refused({"0d": ["ffffffffff"]}, "no answer on SPI, all 0xff: supply, wires miso, sck, nss", "MISO open"),
        refused({"0d": ["0000000000"]}, "no answer on SPI, all 0x00: supply, wires miso, sck, nss", "MISO shorted"),
        refused({"1d0740": ["303030301424"]}, "what answers is no sx1262: radio.chip, radio.nss", "keeps nothing"),
    ]  # fmt: skip
    return cases


# --- SX1276 ------------------------------------------------------------------------------------------------------


def heard_1276(flags: str, strength: str, hop: str, error: str, result: list | None, note: str) -> dict:
    replies = {
        "12": [f"00{flags}"], "19": [f"00{strength}"], "1c": [f"00{hop}"], "28": [f"00{error}"], "13": ["0003"],
        "10": ["0080"], "00": ["00c0ffee"], "01": ["0085"],
    }  # fmt: skip
    return {"do": "sx1276_heard", "with": [replies], "gives": result, "note": note}


def sx1276() -> list[dict]:
    cases = []
    for freq_hz, word in ((868_100_000, "d90666"), (868_300_000, "d91333")):
        assert f"{freq_hz * 2**19 // 32_000_000:06x}" == word
        replies = {"12": ["0008"]}
        calls = [["tune", freq_hz, 7, 14, 0], ["transmit", "010203"]]
        sent = [
            "8181", "86" + word, "9e74", "a604", "89fc", "cd84", "8b2b", "b327", "bb1d", "c040", "8d00", "80010203",
            "a203", "92ff", "8183", "1200", "92ff",
        ]  # fmt: skip
        cases.append(
            {
                "do": "sx1276",
                "with": [{}, calls, replies],
                "gives": [sent, [None, "sent"], None],
                "note": "worked: carrier, SF7",
            }
        )
    cases += [
        {"do": "strength_dbm", "with": [0x4B, 0x1C, 868_100_000], "gives": [-78, -78],
         "note": "worked: -82 plain, and the slope of 16/15"},
        {"do": "strength_dbm", "with": [0x20, -28, 868_100_000], "gives": [-125, -132], "note": "worked: below the noise"},
        {"do": "strength_dbm", "with": [0x20, -28, 433_000_000], "gives": [-132, -139], "note": "the other port"},
        {"do": "amplifier", "with": [17, 1], "gives": [0xFF, 0x84, 0x2B, 17], "note": "PA_BOOST: out = P - 2"},
        {"do": "amplifier", "with": [18, 1], "gives": [0xFD, 0x87, 0x31, 18], "note": "20 dBm mode: out = P - 5, 140 mA"},
        {"do": "amplifier", "with": [22, 1], "gives": [0xFF, 0x87, 0x31, 20], "note": "it has no more"},
        {"do": "amplifier", "with": [-9, 1], "gives": [0xF0, 0x84, 0x2B, 2], "note": "nor less"},
        {"do": "amplifier", "with": [14, 0], "gives": [0x7E, 0x84, 0x2B, 14], "note": "RFO: 0x70 | P"},
        {"do": "amplifier", "with": [15, 0], "gives": [0x7E, 0x84, 0x2B, 14], "note": "RFO ends there"},
        heard_1276("50", "1c4b", "40", "000000", ["c0ffee", -78, 28, -78, 0], "good"),
        heard_1276("50", "e420", "40", "000000", ["c0ffee", -125, -28, -132, 0], "worked: below the noise"),
        heard_1276("50", "1c4b", "40", "001000", ["c0ffee", -78, 28, -78, 0x1000 * 2**24 // 32_000_000 // 4], "high"),
        heard_1276("50", "1c4b", "40", "0fffff", ["c0ffee", -78, 28, -78, -1], "one step low"),
        heard_1276("70", "1c4b", "40", "000000", None, "CRC error"),
        heard_1276("50", "1c4b", "00", "000000", None, "the sender adds no CRC"),
        heard_1276("80", "1c4b", "40", "000000", None, "nothing came"),
        {"do": "sx1276", "with": [{}, [], {"42": ["00ff"]}],
         "gives": [[], [], "radio: no answer on SPI, all 0xff: supply, wires miso, sck, nss"], "note": "MISO open"},
        {"do": "sx1276", "with": [{}, [], {"42": ["0022"]}],
         "gives": [[], [], "radio: what answers is no sx1276 but has version 0x22: radio.chip"], "note": "an SX1272"},
    ]  # fmt: skip
    return cases
