"""Metrics over a set, in a run: values, what is kept, what a stop costs, where they are shown."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hostile import codecs
from hostile import sets as hostile
from test_runner import IN_PROCESS, NOISE, Bench, bench, quantised  # noqa: F401 (a fixture)

import nacbench
from nacbench import baseline, comparison, regression, stats
from nacbench.core import Score
from nacbench.errors import UserError
from nacbench.leaderboard import leaderboard
from nacbench.records import SetScore
from nacbench.report.tables import to_markdown
from nacbench.results import RecordWriter, ResultTable, from_json, to_json
from nacbench.runner import execute, plan
from nacbench.suite import load

SHIFT, PICKY, BROKEN = (f"hostile.sets:{name}" for name in ("Shift", "Picky", "Broken"))


def run(bench: Bench, *metrics: str, bits: tuple[int, ...] = (4, 8), **more) -> ResultTable:  # noqa: F811
    suite = bench.suite([quantised(*bits)], metrics=("si_sdr", *metrics), **more)
    return nacbench.run(suite, workers=IN_PROCESS, timing=False)


def test_a_set_has_one_value_per_condition_and_point(bench: Bench) -> None:  # noqa: F811
    table = run(bench, SHIFT, conditions=["clean", NOISE])
    assert [(s.condition, s.setting) for s in table.set_scores] == [
        ("clean", table.records[0].setting), ("clean", table.records[1].setting),
        ("noise(pink, 5 dB)", table.records[0].setting),
        ("noise(pink, 5 dB)", table.records[1].setting),
    ]  # fmt: skip
    coarse, fine = table.set_scores[:2]
    assert coarse.clips == coarse.total == len(coarse.replicates) == 3
    assert coarse.score.value > fine.score.value >= 0
    assert coarse.low < coarse.score.value < coarse.high
    assert set(coarse.versions) == {"codec", "bench", SHIFT}
    assert SHIFT not in table.records[0].scores
    assert bench.log()["embed"] == 24  # three clips, two points, two conditions, both sides


def test_nothing_is_asked_twice_and_a_new_version_is_asked_again(
    bench: Bench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = run(bench, SHIFT)
    bench.log()
    assert plan(load(bench.folder / "small.yaml"), timing=False).idle
    assert run(bench, SHIFT).set_scores[0] == first.set_scores[0]
    assert bench.log() == {}
    run(bench, SHIFT, bits=(4, 6, 8))  # of the old points, the embeddings are known
    assert bench.log()["embed"] == 6
    monkeypatch.setenv(hostile.VERSION_VARIABLE, "2")
    table = run(bench, SHIFT)
    assert bench.log()["embed"] == 12
    assert {entry.versions[SHIFT] for entry in table.set_scores} == {"2"}
    assert bench.log()["encode"] == 0


def test_a_stop_in_the_middle_costs_the_set_at_which_it_was(
    bench: Bench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[SetScore] = []
    write = RecordWriter.write

    def stopping(self: RecordWriter, entry: object) -> None:
        if isinstance(entry, SetScore) and written:
            raise KeyboardInterrupt
        write(self, entry)
        written.extend([entry] if isinstance(entry, SetScore) else [])

    monkeypatch.setattr(RecordWriter, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(bench, SHIFT)
    monkeypatch.undo()
    monkeypatch.chdir(bench.folder)
    monkeypatch.setenv("NACBENCH_CACHE", str(bench.folder / "cache"))
    monkeypatch.setattr("nacbench.report.curves.draw", lambda *_: None)
    settled = plan(load(bench.folder / "small.yaml"), workers=IN_PROCESS, timing=False)
    assert (len(settled.tasks), settled.uncompared) == (0, 1)
    bench.log()
    monkeypatch.setenv(codecs.LOG_VARIABLE, str(bench.folder / "log"))
    table = execute(settled)
    assert len(table.set_scores) == 2
    assert bench.log()["embed"] == 0, "the clips of the second set were embedded before the stop"


def test_worker_processes_and_this_one_say_the_same(bench: Bench) -> None:  # noqa: F811
    suite = bench.suite([quantised(4)], metrics=(SHIFT,))
    values = [
        nacbench.run(suite, workers=workers, timing=False, fresh=True).set_scores[0]
        for workers in (IN_PROCESS, 2)
    ]
    assert values[0].score == values[1].score
    assert values[0].replicates == values[1].replicates


def test_what_cannot_take_part_and_what_has_no_value_say_why(bench: Bench) -> None:  # noqa: F811
    table = run(bench, PICKY, BROKEN, bits=(4,))
    picky, broken = table.set_scores
    assert (picky.clips, picky.total, dict(picky.left_out)) == (1, 3, {"not the first": 2})
    assert picky.low is None, "one clip has no interval"
    assert broken.score.reason == "RuntimeError: no root"
    board = leaderboard(table)
    assert board.sections[0].rows[0].cells[PICKY].n_ok == 1
    text = to_markdown(board)
    assert "without 2 of 3 clips, not the first" in text
    assert "RuntimeError: no root" in text


def test_a_set_score_survives_the_file_and_has_its_column(bench: Bench) -> None:  # noqa: F811
    table = run(bench, SHIFT)
    entry = table.set_scores[0]
    assert from_json(to_json(entry)) == entry
    (path,) = bench.folder.glob("results/small/*/leaderboard.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["point"]: row for row in csv.DictReader(file)}
    row = rows[entry.point_key]
    assert float(row[SHIFT]) == entry.score.value
    assert float(row[f"{SHIFT}_low"]) == entry.low
    assert row[f"{SHIFT}_n_ok"] == row[f"{SHIFT}_n"] == "3"
    assert row[f"{SHIFT}_mark"] == "", "sets have no paired bootstrap, so they do not compete"


@pytest.mark.parametrize("through_csv", [False, True])
def test_the_gate_sees_a_set_that_moved_away(
    bench: Bench,  # noqa: F811
    tmp_path: Path,
    through_csv: bool,
) -> None:
    import dataclasses

    from nacbench.core import Score

    before = run(bench, SHIFT)
    if through_csv:
        baseline.write(before, tmp_path / "b.csv")
        before = baseline.read((tmp_path / "b.csv").read_text(encoding="utf-8"), "b.csv")

    def gate(**changes: object) -> regression.Gate:
        table = run(bench, SHIFT)
        moved = dataclasses.replace(table.set_scores[0], **changes)
        after = dataclasses.replace(table, set_scores=[moved, *table.set_scores[1:]])
        gates = regression.check(after, before).gates
        (found,) = [g for g in gates if g.metric == SHIFT and g.subject.endswith(moved.setting)]
        return found

    old = before.set_scores[0]
    further = Score(value=old.score.value + 1.0)
    assert gate().status == "pass"
    worse = gate(score=further, replicates=tuple(r + 1.0 for r in old.replicates))
    assert (worse.status, worse.change) == ("fail", pytest.approx(1.0))
    scattered = tuple(r + away for r, away in zip(old.replicates, (0.0, 1.0, 2.0), strict=True))
    assert gate(score=further, replicates=scattered).status == "warn"
    assert gate(score=Score(reason="no root")).status == "fail"
    assert gate(originals="others").status == "skip"
    assert gate(versions={SHIFT: "2"}).status == "skip"


def test_a_suite_names_fad_and_is_told_of_a_misspelt_one(bench: Bench) -> None:  # noqa: F811
    suite = load(bench.suite([quantised(4)], metrics=("fad", "fad:no/such-encoder")))
    assert suite.set_metrics == ("fad:logmel",)
    assert "hf download" in dict(suite.skipped_metrics)["fad:no/such-encoder"]
    with pytest.raises(UserError, match=r"unknown metric 'fda'.*Did you mean 'fad'"):
        load(bench.suite([quantised(4)], metrics=("fda",)))


def test_two_runs_are_compared_by_the_jackknife_over_the_same_clips(bench: Bench) -> None:  # noqa: F811
    before = run(bench, SHIFT)
    shifts = (0.1, 0.2, 0.6)  # of the three replicates; the value moves by their mean
    after = ResultTable(
        before.records, set_scores=[moved(s, shifts) for s in before.set_scores],
        manifests=before.manifests,
    )  # fmt: skip
    (same,) = of_sets(comparison.compare_runs(before, before))[:1]
    assert same.verdict == "the same scores"
    pairs = of_sets(comparison.compare_runs(before, after))
    assert len(pairs) == len(before.set_scores) == 2
    half = stats.jackknife_interval(0.0, shifts)[1]
    for pair in pairs:
        assert pair.comparison.difference == pytest.approx(0.3)
        assert pair.comparison.high == pytest.approx(0.3 + half)
        assert (pair.clips, pair.comparison.units) == (3, 3)
        assert pair.better == 0 and "not separable" in pair.verdict
    worse = ResultTable(
        before.records, set_scores=[moved(s, (5.0, 5.0, 5.0)) for s in before.set_scores],
        manifests=before.manifests,
    )  # fmt: skip
    assert {p.better for p in of_sets(comparison.compare_runs(before, worse))} == {-1}
    other = [replace(entry, originals="others") for entry in before.set_scores]
    others = ResultTable(before.records, set_scores=other, manifests=before.manifests)
    assert of_sets(comparison.compare_runs(before, others)) == []


def test_a_set_has_no_curve_to_measure_gaps_along(bench: Bench) -> None:  # noqa: F811
    table = run(bench, SHIFT)
    again = [replace(r, series="Again", options={**r.options, "again": 1}) for r in table.records]
    both = replace(table, records=[*table.records, *again])
    gaps = comparison.curve_gaps(both, table.records[0].series)
    assert {gap.metric.name for gap in gaps} == set(table.metrics)


def moved(entry: SetScore, shifts: tuple[float, ...]) -> SetScore:
    replicates = tuple(r + s for r, s in zip(entry.replicates, shifts, strict=True))
    value = entry.score.value + sum(shifts) / len(shifts)
    return replace(entry, score=Score(value=value), replicates=replicates)


def of_sets(pairs: list[comparison.Pair]) -> list[comparison.Pair]:
    return [pair for pair in pairs if pair.metric.name == SHIFT]
