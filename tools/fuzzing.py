"""Run many cases in a process of their own, which is replaced where a case hangs or crashes it.

The two fuzzers beside this file say what a case is: `fuzz_files.py` and `fuzz_calls.py`.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import multiprocessing
import os
import re
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# One thread per library: cases are many and small, and processor time is measured.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

__all__ = ["Case", "Limits", "causes", "main", "verdict_of", "watched"]

ADDRESS_SPACE = 16 << 30
STARTING_SECONDS, STUCK = 300.0, "stuck.txt"
FINE = ("opened", "refused", "answered")


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    Attributes
    ----------
    hang
        Seconds after which a case counts as one that never ends.
    slow
        Seconds of processor time.
    spare, per_byte
        Bytes of memory: so many, and so many for each byte of its files.
    """

    hang: float = 60.0
    slow: float = 2.0
    spare: int = 200 << 20
    per_byte: int = 50


@dataclass(frozen=True)
class Case:
    """A case, told by three values."""

    kind: str
    seed: int
    number: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}:{self.number}"


# What a fuzzer gives: called once in each process, it returns what runs a case there and says how it ended.
Attempt = "Callable[[Case], tuple[str, str]]"
Starter = "Callable[[Path, Sequence[str]], Attempt]"


# --- one case ---------------------------------------------------------------------------


def status_bytes(key: str) -> int:
    """Return a number of /proc/self/status in bytes; 0 where there is none."""
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) << 10 if found else 0


def reset_peak() -> None:
    """Let the kernel forget the largest memory so far."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those behind it."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def watched(call: Callable[[], Any], size: int, limits: Limits, done: str = "opened") -> tuple[str, str]:
    """Make a call; return `done` or "refused" and "", or what went wrong and its details."""
    from napari_specfusion.errors import SpecFusionError

    reset_peak()
    before, start = status_bytes("VmRSS"), time.process_time()
    verdict, error = done, None
    try:
        call()
    except SpecFusionError as caught:
        verdict, error = "refused", caught
    except BaseException as caught:
        verdict, error = "WRONG ERROR", caught
    spent, grown = time.process_time() - start, status_bytes("VmHWM") - before
    return verdict_of(verdict, error, spent, grown, size, limits)


def verdict_of(
    verdict: str, error: BaseException | None, spent: float, grown: int, size: int, limits: Limits
) -> tuple[str, str]:
    """Return how a case ended, and its details where that is a finding."""
    if any(isinstance(cause, MemoryError) for cause in causes(error)):
        verdict = "ASKED FOR TOO MUCH MEMORY"
    elif grown > limits.spare + limits.per_byte * size:
        verdict = "TOOK TOO MUCH MEMORY"
    elif spent > limits.slow and verdict != "WRONG ERROR":
        verdict = "SLOW"
    elif verdict == "refused" and len(str(error)) < 20:
        verdict = "WORDLESS"
    if verdict in FINE:
        return verdict, ""
    details = f"{spent:.1f} s, {grown >> 20} MB for {size} bytes; "
    return verdict, details + " <- ".join(f"{type(e).__name__}: {str(e)[:160]}" for e in causes(error)[:3])


# --- the process that runs them ------------------------------------------------------------


def work(
    start: Any, folder: Path, kinds: Sequence[str], cases: Sequence[Case], hang: float, state: Any, results: Any
) -> None:
    """Run cases one after the other; `state` holds the index of the one under way and when it began."""
    warnings.simplefilter("ignore")
    if sys.platform == "linux":  # others have no such limit, or do not keep to it
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, limit[1]))
    attempt = start(folder, kinds)
    logging.disable(logging.CRITICAL)
    os.close(2)
    os.open(os.devnull, os.O_WRONLY)  # what C libraries say of damaged files
    stuck = (folder / STUCK).open("w", encoding="utf-8")
    for index, case in enumerate(cases):
        state[0], state[1] = index, time.monotonic()
        faulthandler.dump_traceback_later(0.8 * hang, file=stuck)
        results.put((index, *attempt(case)))
    faulthandler.cancel_dump_traceback_later()
    state[0] = len(cases)


@dataclass(frozen=True)
class _Batch:
    """How a batch of cases ended: those that were told, and the reason why the next one was not."""

    told: list[tuple[Case, str, str]]
    lost: str = ""


def _stuck(folder: Path) -> str:
    """Return where a process hangs, as far as it has told."""
    with suppress(OSError):
        lines = (folder / STUCK).read_text(encoding="utf-8", errors="replace").splitlines()
        return " < ".join(line.strip().rpartition("site-packages/")[2] for line in lines if "File" in line)[:600]
    return ""


def _batch(start: Any, folder: Path, cases: Sequence[Case], limits: Limits, until: float) -> _Batch:
    context = multiprocessing.get_context("spawn")
    state, results = context.Array("d", [-1, time.monotonic()]), context.SimpleQueue()
    kinds = tuple(dict.fromkeys(case.kind for case in cases))
    process = context.Process(target=work, args=(start, folder, kinds, cases, limits.hang, state, results), daemon=True)
    process.start()
    told: list[tuple[Case, str, str]] = []

    def collect() -> None:
        while not results.empty():
            index, verdict, details = results.get()
            told.append((cases[index], verdict, details))

    lost = ""
    while len(told) < len(cases) and process.is_alive():
        collect()
        index, began = state
        if time.monotonic() - began > (STARTING_SECONDS if index < 0 else limits.hang):
            lost = f"HUNG more than {limits.hang:g} s {_stuck(folder)}"
            break
        if time.monotonic() > until and told:
            lost = "time"
            break
        time.sleep(0.02)
    if lost:
        process.kill()
    process.join()
    collect()
    if state[0] < 0 and lost != "time":
        raise SystemExit("The process that runs the cases did not start; its error is above.")
    if len(told) < len(cases) and not lost:
        lost = f"CRASHED exit code {process.exitcode}"
    return _Batch(told, lost)


# --- all of them ---------------------------------------------------------------------------


def run(
    start: Any, folder: Path, case_of: Callable[[int], Case], count: int, limits: Limits, seconds: float, batch: int
) -> list[tuple[Case, str, str]]:
    """Run the first `count` cases, or as many as the seconds allow; return each with how it ended."""
    until = time.monotonic() + seconds
    done: list[tuple[Case, str, str]] = []
    while len(done) < count and time.monotonic() < until:
        part = [case_of(number) for number in range(len(done), min(len(done) + batch, count))]
        found = _batch(start, folder, part, limits, until)
        told = found.told
        if found.lost not in ("", "time") and len(told) < len(part):
            verdict, _, what = found.lost.partition(" ")
            told = [*told, (part[len(told)], verdict, what)]
        done += told
        for case, verdict, details in told:
            if verdict not in FINE:
                print(f"{case} {verdict}: {details}", flush=True)
        if found.lost == "time":
            break
    return done


def main(
    start: Any, kinds: Sequence[str], limits: Limits, folder: Path, description: str, argv: list[str] | None
) -> tuple[list[Case], Path | None]:
    """Run what the command line says; return the cases that are findings, and where to keep their files."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    parser.add_argument("--cases", type=int, default=2000, help="at most (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="at most (without a limit)")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=list(kinds), metavar="KIND", help="(all)")
    parser.add_argument("--only", metavar="KIND:SEED:NUMBER", help="one case alone")
    parser.add_argument("--batch", type=int, default=2500, help="cases in a process (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep the files of what was found")
    options = parser.parse_args(argv)

    def case_of(number: int) -> Case:
        return Case(options.kinds[number % len(options.kinds)], options.seed, number)

    if options.only:
        kind, seed, number = options.only.split(":")
        options.cases, case_of = 1, lambda _: Case(kind, int(seed), int(number))
    began = time.monotonic()
    results = run(start, folder, case_of, options.cases, limits, options.seconds, options.batch)
    table = Counter((case.kind, verdict) for case, verdict, _ in results)
    verdicts = sorted({verdict for _, verdict in table}, key=lambda v: (v.isupper(), v))
    for kind in dict.fromkeys(case.kind for case, _, _ in results):
        print(f"{kind:16}", *(f"{table[kind, verdict]:7} {verdict}" for verdict in verdicts))
    found = [case for case, verdict, _ in results if verdict not in FINE]
    print(f"seed {options.seed}, {len(results)} cases, {len(found)} findings, {time.monotonic() - began:.0f} s")
    return found, options.keep
