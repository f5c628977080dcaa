"""`make bench`: print the tables and write build/bench.json.

    bench/run.py [SECTION …] [--check] [--write-docs] [--missing]

A section is a module of bench/ with `run() -> (figures, lines)`: figures by their names, and the lines of its table. It may
have `TARGETS`, the figures it promises as name -> (operator, value): a target that is missed, or was not measured, is
marked, and ends `--check` with 1. Figures of earlier runs that this run did not measure stay in build/bench.json.

Each section is kept in build/bench/, with its day, its version and the machine, as soon as it is measured. `--write-docs` writes
docs/benchmarks.md from what is kept there, and says what was never measured; `--missing` runs only those that this version has
not measured: an interrupted run goes on where it was. LONG ones (many minutes of computing) run when they are named.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # bench/ is not part of the installed application

from bench import machine  # noqa: E402  needs the path above
from bench.kept import Kept, Measured, document, table  # noqa: E402

SECTIONS = (
    "sizes",
    "level_meter",
    "sound_level",
    "traffic",
    "gateway",
    "flash",
    "powercut_gateway",
    "time_bounds",
    "memory",
    "quality",
    "lora",
    "lora_airtime",
    "lora_duty",
)
LONG = ("day", "day_least", "flash_largest", "powercut_node")  # run when named
OUT = ROOT / "build" / "bench.json"
DOCS = ROOT / "docs" / "benchmarks.md"


def measure(name: str) -> Measured:
    """Run one section."""
    module = import_module(f"bench.{name}")
    figures, lines = module.run()
    about = (module.__doc__ or "").strip().splitlines()[0]
    return Measured(name, about, figures, lines, getattr(module, "TARGETS", {}))


def main(arguments: list[str]) -> int:
    """Run the sections named, or all but LONG ones; 0, 1 (a target is missed, with --check) or 2 (wrong arguments)."""
    known = [*SECTIONS, *LONG]
    parser = argparse.ArgumentParser(prog="bench/run.py", description="Figures of Steiger")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"one or more of {' '.join(known)}")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--missing", action="store_true", help="only what this version has not measured yet")
    parser.add_argument("--write-docs", action="store_true", help=f"write {DOCS.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    names = options.sections or list(SECTIONS)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"error: no section {unknown[0]} — bench. Choose from: {' '.join(known)}", file=sys.stderr)
        return 2
    kept = Kept(OUT.with_suffix(""))
    if options.missing:
        names = [name for name in names if not kept.is_of(name, machine.version_of_steiger())]
    results = []
    for name in names:
        print(f"— {name} —", flush=True)
        facts = machine.facts()  # before the work: the load is that of others
        results.append(measure(name))
        kept.put(results[-1], facts)
        print("\n".join(results[-1].lines))
        save([results[-1].figures])
        print(flush=True)
    print("\n".join(table(results)))
    if options.write_docs:
        found = [kept.get(name) for name in known]
        never = [name for name, section in zip(known, found, strict=True) if section is None]
        DOCS.write_text(document([section for section in found if section is not None], never), encoding="utf-8")
        print(f"written: {DOCS.relative_to(ROOT)}")
    missed = [name for result in results for name in result.missed()]
    if missed:
        print(f"missed: {', '.join(missed)}")
    return 1 if missed and options.check else 0


def save(measured: list[dict[str, float]]) -> None:
    """Put the figures into build/bench.json, beside those that other runs left there."""
    figures: dict[str, float] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for each in measured:
        figures.update(each)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({key: round(figures[key], 3) for key in sorted(figures)}, indent=2) + "\n")
    print(f"figures: {OUT.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
