"""`steiger plan airtime`: what a board costs on the air."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tools.errors import UsageError
from tools.language import check_lang, number

if TYPE_CHECKING:
    from tools.plan_airtime import Plan, Rate


def airtime(
    board: Annotated[str, typer.Option(help="Name of a board, or a folder with a board.toml")],
    interval: Annotated[int, typer.Option(help="Seconds from record to record", min=10, max=86_400)] = 300,
    ask_every: Annotated[int, typer.Option(help="The node's setting lora_ask_every", min=1, max=32)] = 2,
    battery: Annotated[float, typer.Option(help="mAh, for the estimate", min=1, max=10_000_000)] = 10_000.0,
    awake: Annotated[int, typer.Option(help="Seconds that a sleeping board is awake for a record", min=1)] = 45,
    sf: Annotated[int, typer.Option(help="Spreading factor of the battery's estimate", min=7, max=12)] = 9,
    lang: Annotated[str, typer.Option(help="en or de")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Bytes, airtime, duty cycle, records an hour, nodes of one gateway and a battery's life, for each spreading factor.

    \b
    steiger plan airtime --board heltec-v3 --interval 300
    """
    from boards import BoardError, load_board
    from tools.plan_airtime import plan

    check_lang(lang)
    try:
        found = load_board(board)
    except BoardError as error:
        raise UsageError(str(error)) from None
    if not found.profiles:
        raise UsageError("this board measures nothing", where=board, next_step="Name the board of a node, not a bridge")
    result = plan(found, interval, ask_every, battery, awake, sf)
    if as_json:
        print(json.dumps(result._asdict() | {"rates": [rate._asdict() for rate in result.rates]}))
        return
    print("\n".join(lines(result, lang, sf)))


def lines(result: Plan, lang: str, sf: int) -> list[str]:
    """For a person."""
    from tools.airtime_words import WORDS

    words = WORDS[lang]
    out = [
        words["title"].format(
            board=result.board, channels=result.channels, interval=result.interval_s, power=result.power_dbm
        )
    ]
    if result.profiles > 1:
        out.append(words["frames"].format(profiles=result.profiles))
    out += ["", *table(result.rates, lang), ""]
    if not any(rate.lawful for rate in result.rates):
        out.append(words["none"])
    out += [words["law"], words["nodes"], battery_line(result, lang, sf)]
    if not result.on_air:
        out.append(words["wired"].format(board=result.board))
    return out


def table(rates: list[Rate], lang: str) -> list[str]:
    """One line a spreading factor."""
    from tools.airtime_words import WORDS

    heads = WORDS[lang]["heads"].split("|")
    rows = [heads]
    for rate in rates:
        row = [
            str(rate.sf), number(lang, rate.bytes, ".1f"), str(rate.bytes_max), number(lang, rate.airtime_ms, ".0f"), str(rate.batch),
            number(lang, rate.batch_airtime_ms, ".0f"), number(lang, rate.duty_percent, ".3f"), str(rate.records_per_hour),
            str(rate.batch_records_per_hour),
        ]  # fmt: skip
        if rate.lawful:
            row += [str(rate.nodes_one_channel), str(rate.next_one_channel)]
            row += [str(rate.nodes_eight_channels), str(rate.next_eight_channels)]
        else:
            row.append(WORDS[lang]["unlawful"])
        rows.append(row)
    widths = [max(len(row[at]) for row in rows if len(row) == len(heads) or at < 9) for at in range(len(heads))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=False)) for row in rows]


def battery_line(result: Plan, lang: str, sf: int) -> str:
    """How long it lasts."""
    from tools.airtime_words import WORDS

    words = WORDS[lang]
    if result.battery_days is None:
        return words["unknown"].format(sensors=", ".join(result.unknown))
    word = "battery" if result.battery_days >= 3 else "battery_hours"
    return words[word].format(
        days=result.battery_days, hours=24 * result.battery_days, sf=sf, mah=result.battery_mah, load=result.load_mw
    )
