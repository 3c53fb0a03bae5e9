"""Do the papers' claims hold at a size that two cores carry? Runs every plan of benchmarks/evidence, and makes the tables.

    python benchmarks/evidence.py --out evidence                       # all of it; again after a stop: what is missing
    python benchmarks/evidence.py --out evidence --claims isd fve      # some, in this order
    python benchmarks/evidence.py --out evidence --tables docs/evidence.md   # only write what is there into the page

Each run is a ``fve train`` of ``fve ablate``; Ctrl-C and kills lose at most the steps since a checkpoint. Runs that are done
leave result.json and their log, not their weights. docs/evidence.md says what is claimed and how it is judged.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from evidence_ground import COMMAND, make_ground
from evidence_tables import CLAIMS, fill

PLANS = Path(__file__).with_name("evidence")


def run(out: Path, claim: str, slots: int, *, smallest: bool) -> int:
    """Run a claim's plan, as far as it is not done, and return the exit code."""
    plan, text = out / f"{claim}.toml", (PLANS / f"{claim}.toml").read_text()
    if smallest:
        text = re.sub(r"epochs = \d+", "epochs = 1", text.replace("[0, 1, 2, 3, 4]", "[0]"))
    plan.write_text(text)
    how = ("--out", str(out / claim), "--slots", str(slots))
    code = subprocess.run((*COMMAND, "ablate", str(plan), *how), check=False).returncode
    for result in (out / claim).glob("*/*/result.json"):
        shutil.rmtree(result.parent / "checkpoints", ignore_errors=True)
    return code


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of stores, weights and runs")
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=list(CLAIMS))
    parser.add_argument("--slots", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--smallest", action="store_true", help="two subjects, one epoch, one seed: does it run?"
    )
    parser.add_argument("--tables", type=Path, help="run nothing; write the tables into this page")
    args = parser.parse_args()
    if args.tables:
        args.tables.write_text(fill(args.tables.read_text(), args.out))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    make_ground(args.out, args.claims, fewer=12 if args.smallest else 1)
    worst = 0
    for claim in args.claims:
        worst = max(worst, run(args.out, claim, args.slots, smallest=args.smallest))
    sys.exit(worst)


if __name__ == "__main__":
    main()
