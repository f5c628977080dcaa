"""The judge notices each kind of wrong outcome; a right one it lets pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tools.week.fault import MISSING, NOT_SAMPLED, RECORD, REFUSED, Fault, gap, harmless, marks, record
from tools.week.plan import Plan, Span
from tools.week.verdict import SpanResult, growth_bytes, judge_before, judge_heap, judge_ledger, judge_life, judge_span
from tools.week.windows import Health, Stored, Window

WINDOW_S, START_S = 60, 60_000_000
BEGIN, END, COUNT = 20, 50, 90  # windows: of the fault, of all
SETTLES, RECOVERS = 3, 4
CHANNELS = ("pm2_5", "temperature")


def nothing(site: object) -> None:
    pass


@dataclass
class Scene:
    """A run that shows what was written down; change it, then judge."""

    outcome: Any
    mark: str = "good"
    bucket: str = RECORD
    windows: dict[int, Window] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for at in range(COUNT):
            on = BEGIN + SETTLES <= at < END
            self.put(at, self.bucket if on else RECORD, self.mark if on else "good")

    def put(
        self, at: int, bucket: str = RECORD, pm: str = "good", temperature: str = "good", coverage: int = 100
    ) -> None:
        number = START_S // WINDOW_S + at
        told = {"pm2_5": pm, "temperature": temperature} if bucket == RECORD else {}
        self.windows[number] = Window(number, bucket, told, coverage, at)

    @property
    def fault(self) -> Fault:
        return Fault(
            "chip", "fault", "", self.outcome, nothing, nothing, SETTLES * WINDOW_S, RECOVERS * WINDOW_S
        )  # fmt: skip

    @property
    def plan(self) -> Plan:
        length_s = COUNT * WINDOW_S
        return Plan(START_S, length_s, (Span(self.fault, BEGIN * WINDOW_S, END * WINDOW_S, length_s),))

    @property
    def stored(self) -> Stored:
        return Stored(self.windows, 0, [Health(1, 1000 * n, 0) for n in range(3)])

    def judged(self) -> SpanResult:
        return judge_span(self.plan.spans[0], self.plan, self.stored, WINDOW_S, frozenset(), "")


def flagged() -> Scene:
    return Scene(record(marks(("pm2_5",), "suspect range")), "suspect range")


def test_what_was_written_down_passes() -> None:
    result = flagged().judged()
    assert not result.problems
    assert (result.settled, result.clean) == (END - BEGIN - SETTLES, COUNT - END - RECOVERS)
    assert result.told == {"suspect range": result.settled}
    for bucket in (NOT_SAMPLED, REFUSED):
        scene = Scene(gap(bucket), bucket=bucket)
        assert not scene.judged().problems
        assert scene.judged().buckets == {bucket: scene.judged().settled}
    assert not Scene(harmless()).judged().problems


def test_a_flag_that_is_not_raised_is_noticed() -> None:
    scene = flagged()
    scene.put(30)
    assert "pm2_5 is good instead of suspect range (1 windows" in scene.judged().problems[0]


def test_a_flag_that_is_allowed_and_never_told_is_noticed() -> None:
    scene = Scene(record(marks(("pm2_5",), "suspect spike", "good"), "suspect spike"))
    assert "only 0 of 27 windows tell suspect spike" in scene.judged().problems[0]


def test_a_wrong_reason_is_noticed() -> None:
    scene = flagged()
    scene.put(30, pm="suspect spike")
    assert scene.judged().problems


@pytest.mark.parametrize("at", [30, BEGIN])
def test_a_flag_on_another_channel_is_noticed_on_edges_too(at: int) -> None:
    scene = flagged()
    scene.put(at, pm="suspect range", temperature="suspect range")
    assert "temperature is suspect range" in scene.judged().problems[0]


def test_a_flag_that_stays_is_noticed() -> None:
    scene = flagged()
    scene.put(END + RECOVERS, pm="suspect range")
    assert scene.judged().problems[0].startswith("after it: pm2_5 is suspect range")


def test_a_flag_before_the_first_fault_is_noticed() -> None:
    scene = flagged()
    assert judge_before(scene.plan, scene.stored, WINDOW_S, frozenset(), 0) == (BEGIN, [])
    scene.put(3, pm="suspect range")
    assert judge_before(scene.plan, scene.stored, WINDOW_S, frozenset(), 0)[1]


def test_a_wrong_bucket_is_noticed() -> None:
    scene = Scene(gap(REFUSED), bucket=REFUSED)
    scene.put(30, bucket=NOT_SAMPLED)
    assert "not_sampled instead of refused" in scene.judged().problems[0]
    scene = flagged()
    scene.put(60, bucket=NOT_SAMPLED)
    assert "after it: not_sampled instead of record" in scene.judged().problems[0]


def test_a_window_that_is_nowhere_is_noticed() -> None:
    scene = flagged()
    del scene.windows[START_S // WINDOW_S + 70]
    assert "after it: a window is not there at all" in scene.judged().problems[0]


def test_coverage_that_is_too_low_is_noticed() -> None:
    scene = flagged()
    scene.put(70, coverage=80)
    assert "coverage 80 %" in scene.judged().problems[0]


def test_a_value_that_is_missing_and_said_to_be_good_is_noticed() -> None:
    scene = Scene(record(marks(("pm2_5",), MISSING)), MISSING)
    assert not scene.judged().problems
    scene.put(30, pm="missing, and called good")
    assert scene.judged().problems


def test_a_span_that_is_too_short_to_say_anything_is_no_success() -> None:
    scene = flagged()
    short = Span(scene.fault, BEGIN * WINDOW_S, (BEGIN + 1) * WINDOW_S, (BEGIN + 2) * WINDOW_S)
    result = judge_span(short, scene.plan, Scene(harmless()).stored, WINDOW_S, frozenset(), "")
    assert "too short" in result.problems[-1]


def ledger(scene: Scene) -> dict[str, Any]:
    """As the gateway reports it."""
    lines: dict[int, dict[str, Any]] = {}
    for window in scene.windows.values():
        hour = window.number * WINDOW_S // 3600
        line = lines.setdefault(hour, {"hour_ms": hour * 3_600_000, "delivered": 0, "causes": {}})
        if window.bucket == RECORD:
            line["delivered"] += 1
        else:
            line["causes"][window.bucket] = line["causes"].get(window.bucket, 0) + 1
    causes: dict[str, int] = {}
    for line in lines.values():
        for name, count in line["causes"].items():
            causes[name] = causes.get(name, 0) + count
    return {
        "closed": True,
        "summary": {
            "scheduled": COUNT, "delivered": sum(line["delivered"] for line in lines.values()), "causes": causes,
            "pending": 0, "duplicates": 0,
        },
        "lives": [{"lines": list(lines.values())}],
    }  # fmt: skip


def ledger_problems(scene: Scene, report: dict[str, Any], scheduled: int = COUNT) -> list[str]:
    return judge_ledger(scene.plan, scene.stored, WINDOW_S, scheduled, report)[1]


def test_a_ledger_that_agrees_passes() -> None:
    scene = Scene(gap(REFUSED), bucket=REFUSED)
    assert judge_ledger(scene.plan, scene.stored, WINDOW_S, COUNT, ledger(scene)) == ({REFUSED: 27}, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [("scheduled", COUNT + 1), ("delivered", 1), ("causes", {"not_sampled": 27}), ("pending", 1), ("duplicates", 1)],
)
def test_a_ledger_with_another_figure_is_noticed(name: str, value: object) -> None:
    scene = Scene(gap(REFUSED), bucket=REFUSED)
    report = ledger(scene)
    report["summary"][name] = value
    assert ledger_problems(scene, report)


def test_a_ledger_that_is_open_or_books_in_another_hour_is_noticed() -> None:
    scene = Scene(gap(REFUSED), bucket=REFUSED)
    report = ledger(scene)
    report["closed"] = False
    assert ledger_problems(scene, report) == ["the ledger is not closed"]
    report = ledger(scene)
    report["lives"][0]["lines"][0]["hour_ms"] += 7_200_000
    assert "hours the ledger's buckets" in ledger_problems(scene, report)[0]


def test_a_life_that_ends_within_a_window_has_that_window() -> None:
    """As one fault by itself does; what lies behind it is outside all the same."""
    scene = Scene(gap(REFUSED), bucket=REFUSED)
    plan = scene.plan._replace(start_s=START_S + 13, length_s=COUNT * WINDOW_S - 43)
    assert judge_ledger(plan, scene.stored, WINDOW_S, COUNT, ledger(scene))[1] == []
    shorter = plan._replace(length_s=plan.length_s - WINDOW_S)
    assert "1 of them outside" in " ".join(judge_ledger(shorter, scene.stored, WINDOW_S, COUNT - 1, ledger(scene))[1])


def test_the_world_counts_by_itself() -> None:
    scene = flagged()
    assert "the world 91" in " ".join(ledger_problems(scene, ledger(scene), COUNT + 1))


STATS = {"boots": 1}


def life_problems(health: list[Health], stats: dict[str, int] = STATS, said: bytes = b"") -> list[str]:
    return judge_life(Stored({}, 0, health), stats, said, 2)


def test_crashes_and_resets_are_noticed() -> None:
    well = [Health(1, 1000, 0), Health(1, 2000, 0)]
    assert not life_problems(well)
    assert life_problems([*well, Health(1, 3000, 1)]) == ["1 tasks were restarted"]
    assert "boots [1, 2]" in life_problems([*well, Health(2, 3000, 0)])[0]
    assert life_problems([*well, Health(1, 500, 0)]) == ["the uptime of health records goes back"]
    assert life_problems(well, {"boots": 2}) == ["the board booted 2 times"]
    assert life_problems(well, STATS | {"watchdog": 1}) == ["watchdog 1"]
    assert life_problems(well, STATS | {"crashes": 1}) == ["crashes 1"]
    assert life_problems(well, said=b"E task sensor 0: stopped") != []
    assert "health records, 2 were due" in life_problems(well[:1])[0]


def heap(*steps: int) -> list[tuple[float, int, int]]:
    """Hours 0 to 167; a value for each hour from a repeating pattern of `steps` added up."""
    used, found = 180_000, []
    for hour in range(168):
        used += steps[hour % len(steps)]
        found.append((float(hour), used, 40_000))
    return found


def test_a_heap_that_breathes_passes_and_one_that_grows_does_not() -> None:
    assert not judge_heap(heap(900, -900, 1500, -1500))
    leak = heap(32)  # one object an hour
    assert growth_bytes(leak) > 2048
    assert len(judge_heap(leak)) == 2


def test_what_the_first_hours_need_is_no_growth() -> None:
    begun = [(0.0, 150_000, 50_000), (1.0, 170_000, 45_000), *heap(10, -10)[2:]]
    assert not judge_heap(begun)
