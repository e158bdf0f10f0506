"""Every fault at every call of every scenario, then signals at random moments:
python -m tests.faults.campaign.

What was tried is added up in a file as it goes, so that a campaign that was ended goes on where it
stood. ``python -m tests.faults.results`` prints its table.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.families.growing import Teachers, first_of
from tests.faults.results import Results, table
from tests.faults.scenarios import SCENARIOS, World
from tests.faults.trying import ENDS, SIGNALS, at_every_call, seconds, signalled, with_files_up_to
from tests.faults.zygote import Zygote

SIZES = range(1_000, 12_000, 500)
"""Bytes beyond which no file may grow, each in its turn."""

RANDOM = 500


class Campaign:
    """Scenarios in folders of their own, and the sums of what was tried."""

    def __init__(self, root: Path, results: Results, file: Path | None) -> None:
        self.root, self.results, self.file = root, results, file
        self.zygote = Zygote()
        self.llama = Teachers(root).folder(first_of("llama"))
        self.worlds: dict[str, World] = {}

    def world(self, name: str) -> World:
        """Made when it is first asked for."""
        if name not in self.worlds:
            scenario = next(s for s in SCENARIOS if s.name == name)
            self.worlds[name] = World(self.root / name, self.zygote, scenario, self.llama)
        return self.worlds[name]

    def every_fault(self) -> None:
        """Those of each scenario that were not tried yet."""
        for scenario in SCENARIOS:
            done = self.results.faults.setdefault(scenario.name, {})
            for kind in [kind for kind in (*ENDS, "EFBIG") if kind not in done]:
                world = self.world(scenario.name)
                done[kind] = self._tried(f"{scenario.name}: {kind}", self._trial(world, kind))

    @staticmethod
    def _trial(world: World, kind: str) -> Callable[[], int]:
        if kind != "EFBIG":
            return lambda: at_every_call(world, kind)
        return lambda: len([with_files_up_to(world, size) for size in SIZES])

    def random_signals(self, count: int) -> None:
        """So many in all, each to the next scenario."""
        whole: dict[str, float] = {}
        for at in range(self.results.signals, count):
            number = list(SIGNALS)[at % len(SIGNALS)]
            world = self.world(SCENARIOS[at // len(SIGNALS) % len(SCENARIOS)].name)
            name = world.scenario.name
            whole[name] = whole.get(name) or seconds(world)
            met = self._tried(
                f"{number.name} {at} in {name}",
                lambda w=world, n=number, a=at, s=whole[name]: int(signalled(w, n, Random(a), s)),
            )
            sums = self.results.random.setdefault(number.name, {"sent": 0, "met": 0})
            sums["sent"] += 1
            sums["met"] += met
            self._write()

    def _tried(self, what: str, trial: Callable[[], int]) -> int:
        try:
            count = trial()
        except AssertionError as wrong:
            self.results.wrong.append(f"{what}: {str(wrong)[:2000]}")
            count = 0
        print(f"{what}: {count}", file=sys.stderr)
        self._write()
        return count

    def _write(self) -> None:
        if self.file:
            self.results.write(self.file)


def main() -> None:
    """Run a campaign, and print its table and what was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="where the sums are kept; goes on from there")
    parser.add_argument("--random", type=int, default=RANDOM, help="signals at random moments")
    args = parser.parse_args()
    # Shells start what runs in the background with SIGINT ignored, and so would its children be.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    results = Results.read(args.results) if args.results else Results()
    with tempfile.TemporaryDirectory() as root:
        campaign = Campaign(Path(root), results, args.results)
        campaign.every_fault()
        campaign.random_signals(args.random)
        campaign.zygote.close()
    print(table(results))
    print("\n".join(results.wrong))
    sys.exit(bool(results.wrong))


if __name__ == "__main__":
    main()
