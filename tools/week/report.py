"""What lives of boards amount to: lines for a terminal, and a page's part for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tools.week.laboratory import SAMPLE_EXACT, WEEK, job_of
from tools.week.verdict import Result, SpanResult

BEGIN, END = "<!-- week:begin -->", "<!-- week:end -->"


def line(result: Result, as_json: bool, number: int, of: int) -> str:
    """One life, as it ends."""
    if as_json:
        return msgspec.json.encode(result).decode()
    job = job_of(result)
    bad = [span for span in result.spans if span.problems]
    judged = sum(span.settled + span.clean for span in result.spans) + result.before_spans
    lines = [
        f"[{number}/{of}] {job.title}, seed {job.seed}: {'FAILED' if result.failed else 'as written down'}. {result.hours:.1f} h, "
        f"{len(result.spans)} faults, {result.windows} windows = {result.delivered} delivered + {_causes(result)} + "
        f"{result.pending} pending, {judged} judged; boots {result.boots}, tasks restarted {result.task_restarts}, heap "
        f"{result.heap_growth_bytes:+d} bytes; {result.wall_s:.0f} s, {result.cpu_s:.0f} s CPU, digest {result.digest[:16]}"
    ]
    lines += [f"  {problem}" for problem in result.problems]
    for span in bad:
        lines.append(
            f"  {span.fault} ({span.begin_s / 3600:.2f} to {span.end_s / 3600:.2f} h), repeat: {repeat(result, span)}"
        )
        lines += [f"    {problem}" for problem in span.problems]
    return "\n".join(lines)


def _causes(result: Result) -> str:
    return " + ".join(f"{count} {name}" for name, count in result.causes.items()) or "0 causes"


def repeat(result: Result, span: SpanResult) -> str:
    """The one command that repeats a span; the whole week is repeated by `job_of(result).command`."""
    job = job_of(result)
    return (job if job.fault else job._replace(kind="alone", fault=span.fault)).command


def failures(results: Iterable[Result]) -> list[str]:
    """A command and what came of it, for each life that showed something else than was written down."""
    lines = []
    for result in results:
        if result.problems:
            lines.append(f"{job_of(result).command}\n    {'; '.join(result.problems)}")
        lines += [f"{repeat(result, span)}\n    {'; '.join(span.problems)}" for span in result.spans if span.problems]
    return lines


def markdown(results: Sequence[Result], facts: Sequence[str]) -> str:
    """The part of docs/week.md between its marks."""
    weeks = [result for result in results if result.kind == WEEK]
    hours = [result for result in results if result.kind == SAMPLE_EXACT]
    parts = [BEGIN, *facts]
    for board in sorted({result.board for result in (*weeks, *hours)}):
        parts += ["", f"### {board}", ""]
        parts += _lives([r for r in weeks if r.board == board], [r for r in hours if r.board == board])
        parts += ["", *_faults([r for r in (*weeks, *hours) if r.board == board])]
    return "\n".join([*parts, END])


def _lives(weeks: Sequence[Result], hours: Sequence[Result]) -> list[str]:
    rows = ["| | |", "|---|---:|"]
    for result in weeks:
        rows += [
            f"| hours of one life, seed {result.seed} | {result.hours:,.0f} |",
            f"| windows that the world scheduled | {result.windows:,} |",
            f"| delivered | {result.delivered:,} |",
            *(f"| {name.replace('_', ' ')} | {count:,} |" for name, count in result.causes.items()),
            f"| pending after the drain | {result.pending} |",
            f"| judged: with a fault, after it, before the first | {_sum(result, 'settled'):,}, {_sum(result, 'clean'):,}, "
            f"{result.before_spans} |",
            f"| boots | {result.boots} |",
            f"| tasks restarted, by {result.health_records} health records | {result.task_restarts} |",
            f"| heap used: at first, at the end | {_heap(result)} |",
            f"| more in the last quarter of the hours than in the first, bytes | {result.heap_growth_bytes:+,} |",
            f"| CPU seconds | {result.cpu_s:,.0f} |",
            f"| against it | {'; '.join(result.problems) or 'nothing'} |",
        ]
        if result.block_results:
            rows.append(f"| block results, each of a second of sound | {result.block_results:,} |")
    if hours:
        rows += [
            f"| hours of a fault sample by sample, each a life of its own | {len(hours)} |",
            f"| their samples | {sum(result.sample_frames for result in hours):,} |",
            f"| their windows: delivered, not | {sum(r.delivered for r in hours):,}, "
            f"{sum(sum(r.causes.values()) for r in hours):,} |",
            f"| their CPU seconds | {sum(result.cpu_s for result in hours):,.0f} |",
            f"| against them | {'; '.join(p for r in hours for p in r.problems) or 'nothing'} |",
        ]
    return rows


def _sum(result: Result, name: str) -> int:
    return sum(getattr(span, name) for span in result.spans)


def _heap(result: Result) -> str:
    used = [bytes_used for _, bytes_used, _ in result.heap]
    return f"{used[0]:,}, {used[-1]:,}" if used else "not seen"


def _faults(results: Sequence[Result]) -> list[str]:
    with_sound = any(span.sound for result in results for span in result.spans)
    head = [
        "fault",
        "what happens",
        *(["sound"] if with_sound else []),
        "hours",
        "windows",
        "became",
        "told",
        "after it",
        "",
    ]
    rows = [f"| {' | '.join(head)} |", "|" + "|".join("---" for _ in head) + "|"]
    spans = [span for result in results for span in result.spans]
    for span in sorted(spans, key=lambda span: (span.fault, span.sound)):
        cells = [f"`{span.fault}`", span.says, *([span.sound] if with_sound else [])]
        cells += [
            f"{(span.end_s - span.begin_s) / 3600:.1f}", str(span.settled), _counted(span.buckets), _counted(span.told),
            f"{span.clean} good" if not span.problems else str(span.clean),
            "as written down" if not span.problems else "; ".join(span.problems),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items()) or "–"
