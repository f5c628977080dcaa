"""`make bench`: print the tables and write build/bench.json.

Figures of earlier runs that this run did not measure stay in the file.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = (
    "sizes",
    "level_meter",
    "powercut_gateway",
    "time_bounds",
)  # modules of bench/ with run() -> (figures, lines)
OUT = ROOT / "build" / "bench.json"


def main() -> int:
    """Run the sections named on the command line, or all."""
    sys.path.insert(0, str(ROOT))  # bench/ is not part of the installed application
    from importlib import import_module

    names = sys.argv[1:] or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(f"error: no section {unknown[0]} — bench. Choose from: {' '.join(SECTIONS)}", file=sys.stderr)
        return 2
    figures: dict[str, float] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name in names:
        measured, lines = import_module(f"bench.{name}").run()
        figures.update(measured)
        print(f"— {name} —")
        print("\n".join(lines))
        print()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({key: round(figures[key], 3) for key in sorted(figures)}, indent=2) + "\n")
    print(f"figures: {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
