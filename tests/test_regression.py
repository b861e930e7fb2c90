"""The gate: what must fail fails, what cannot be judged is skipped, and nothing hides in a mean."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from tables import manifest, record

from nacbench import baseline
from nacbench.cli import cli
from nacbench.core import Score
from nacbench.errors import UserError
from nacbench.records import Record, Timing
from nacbench.regression import Policy, Status, check, load_policy
from nacbench.report import gates
from nacbench.results import ResultTable, to_json

VISQOL = "visqol:speech-lattice"
EMPTY = '# nacbench baseline 1 {"versions":{},"timings":[],"metrics":{}}\n'
CLIPS = 27  # of the real speech suite
# How much the loss differs from clip to clip here; benchmarks/gate_power.py has real codecs.
SPREAD_OF_CHANGE = 0.1


def table(
    scores: np.ndarray | list[float],
    metric: str = VISQOL,
    timing: float | None = 0.01,
    machine: str = "one",
    **over: object,
) -> ResultTable:
    versions = over.pop("versions", {"codec": "1", metric: "1"})
    records = [
        record(
            clip=f"clip{i:02d}", tags={"speaker": f"voice{i}"}, versions=versions,
            scores={metric: Score(float(score))}, hashes={"reference": f"{i:064x}"}, **over,
        )
        for i, score in enumerate(scores)
    ]  # fmt: skip
    timings = []
    if timing is not None:
        timings = [
            Timing(
                run="r", suite="speech", codec="opus", options={"kbps": 16.0}, series="Opus",
                setting="16 kbps", machine=machine, threads=1, repeats=3, audio_s=6.0,
                encode_rtf=timing, decode_rtf=0.001,
            )
        ]  # fmt: skip
    return ResultTable(records, timings, manifests={"example": manifest()})


def like(records: Sequence[Record]) -> ResultTable:
    return ResultTable(records, manifests={"example": manifest()})


def status(verdict: object, kind: str) -> set[Status]:
    return {gate.status for gate in verdict.gates if gate.kind == kind}  # type: ignore[attr-defined]


def base() -> np.ndarray:
    return np.random.default_rng(0).normal(3.6, 0.4, CLIPS)


def test_an_unchanged_codec_passes_every_gate() -> None:
    verdict = check(table(base()), table(base()))
    assert {gate.status for gate in verdict.gates} == {"pass"}
    assert {gate.kind for gate in verdict.gates} == {"quality", "rate", "speed"}
    assert verdict.exit_code == 0


def test_a_loss_of_a_tenth_of_a_mos_is_caught_and_noise_is_let_through() -> None:
    caught = passed = 0
    seeds = 200
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        spread = rng.normal(0, SPREAD_OF_CHANGE, CLIPS)
        caught += check(table(base() - 0.1 + spread), table(base())).exit_code == 1
        still = rng.normal(0, 0.02, CLIPS)  # a decoder that is not deterministic
        passed += check(table(base() + still), table(base())).exit_code == 0
    assert caught >= 0.95 * seeds
    assert passed >= 0.97 * seeds


def test_a_loss_that_the_clips_cannot_prove_is_a_warning() -> None:
    change = np.tile([0.5, -0.62], CLIPS)[:CLIPS]
    verdict = check(table(base() + change), table(base()))
    assert status(verdict, "quality") == {"warn"}
    assert verdict.exit_code == 0
    strict = check(table(base() + change), table(base()), Policy(warnings_fail=True))
    assert strict.exit_code == 1


def test_lower_is_better_metrics_are_judged_the_other_way_round() -> None:
    worse = check(table(base() * 1.1, "mel:dac"), table(base(), "mel:dac"))
    better = check(table(base() * 0.9, "mel:dac"), table(base(), "mel:dac"))
    assert (status(worse, "quality"), status(better, "quality")) == ({"fail"}, {"pass"})


def with_failure(records: list[Record], reason: str) -> list[Record]:
    first = replace(
        records[0], scores={VISQOL: Score(reason=reason)}, failure=reason, payload_bytes=None
    )
    return [first, *records[1:]]


def test_a_clip_that_fails_never_passes_by_being_averaged_over_fewer_clips() -> None:
    """The worst clip fails, so the mean over the others goes up; the gate must not care."""
    scores = base()
    scores[0] = 1.0
    after = like(with_failure(list(table(scores + 0.3).records), "decode: crashed"))
    verdict = check(after, table(scores))
    assert verdict.exit_code == 1
    assert [gate.reason for gate in verdict.gates if gate.kind == "failures"] == [
        f"1 of {CLIPS} clips lost their score, clip00: decode: crashed"
    ]
    fewer = like(table(scores + 0.3).records[1:])
    assert status(check(fewer, table(scores)), "coverage") == {"fail"}


def test_a_clip_that_failed_before_too_is_no_regression_but_not_all_is_well() -> None:
    broken = like(with_failure(list(table(base()).records), "decode: crashed"))
    verdict = check(broken, broken)
    assert verdict.count("fail") == 0
    assert verdict.exit_code == 3


def test_what_cannot_be_judged_is_skipped_in_sight() -> None:
    old = table(base())
    other_version = table(base(), versions={"codec": "1", VISQOL: "2"})
    assert status(check(other_version, old), "quality") == {"skip"}
    assert status(check(table(base(), machine="two"), old), "speed") == {"skip"}
    assert status(check(table(base(), timing=None), old), "speed") == {"skip"}
    assert status(check(table(base()[:1]), table(base()[:1] + 1)), "quality") == {"skip"}
    more = like([*old.records, *table(base(), series="New").records])
    assert status(check(more, old), "coverage") == {"skip"}
    assert status(check(old, more), "coverage") == {"skip"}


def test_other_audio_under_the_same_name_is_not_compared() -> None:
    swapped = [replace(r, hashes={"reference": "0" * 64}) for r in table(base()).records]
    assert status(check(like(swapped), table(base())), "coverage") == {"fail"}


@pytest.mark.parametrize(("more", "wanted"), [(0, "pass"), (0.01, "warn"), (0.03, "fail")])
def test_more_bytes_are_a_regression(more: float, wanted: Status) -> None:
    after = table(base(), payload_bytes=round(10_000 * (1 + more)))
    assert status(check(after, table(base(), payload_bytes=10_000)), "rate") == {wanted}


@pytest.mark.parametrize(("ratio", "wanted"), [(1.1, "pass"), (1.3, "warn"), (1.6, "fail")])
def test_speed_is_judged_as_a_ratio_on_the_same_machine(ratio: float, wanted: Status) -> None:
    verdict = check(table(base(), timing=0.01 * ratio), table(base()))
    assert wanted in status(verdict, "speed")


def test_two_runs_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(UserError, match="share no operating point"):
        check(table(base(), series="A"), table(base(), series="B"))


def test_a_baseline_file_gates_like_the_run_it_came_from(tmp_path: Path) -> None:
    before = ResultTable(
        with_failure(list(table(base()).records), 'a "reason", with\nall kinds'),
        table(base()).timings,
        manifests={"example": manifest()},
    )
    baseline.write(before, tmp_path / "b.csv")
    read = baseline.read((tmp_path / "b.csv").read_text(encoding="utf-8"), "b.csv")
    after = table(base() - 0.2)
    assert check(after, read).gates == check(after, before).gates


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("clip,score\n", "not a baseline"),
        ("# nacbench baseline 2 {}\n", "format 2"),
        ("# nacbench baseline 1 {\n", "b.csv:1: damaged"),
        (f"{EMPTY}suite\nx\n", "b.csv:3: damaged"),
    ],
)
def test_a_damaged_baseline_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        baseline.read(text, "b.csv")


def saved(directory: Path, content: ResultTable) -> Path:
    directory.mkdir(parents=True)
    lines = [to_json(entry) for entry in (*content.records, *content.timings)]
    (directory / "manifest.json").write_text(json.dumps(manifest()), encoding="utf-8")
    (directory / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


def test_the_command_exits_and_writes_for_every_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    good, bad = saved(tmp_path / "good", table(base())), saved(tmp_path / "bad", table(base() - 1))
    csv_path, out = tmp_path / "b.csv", tmp_path / "out"
    run = CliRunner()
    assert run.invoke(cli, ["baseline", "set", str(good), "--out", str(csv_path)]).exit_code == 0
    assert run.invoke(cli, ["check", str(good), "--baseline", str(csv_path)]).exit_code == 0
    done = run.invoke(
        cli,
        ["check", str(bad), "--baseline", str(csv_path), "--markdown", f"{out}/c.md",
         "--junit", f"{out}/c.xml", "--json", f"{out}/c.json"],
    )  # fmt: skip
    assert done.exit_code == 1
    assert "::error title=nacbench fail%3A Opus 16 kbps" in done.output
    markdown = (out / "c.md").read_text(encoding="utf-8")
    assert markdown.startswith("### nacbench: Regression") and "<details open>" in markdown
    assert "Regression" in (tmp_path / "summary.md").read_text(encoding="utf-8")
    suite = ElementTree.fromstring((out / "c.xml").read_text(encoding="utf-8"))
    content = json.loads((out / "c.json").read_text(encoding="utf-8"))
    assert int(suite.attrib["failures"]) == content["counts"]["fail"] == 1
    assert run.invoke(cli, ["check", str(bad), "--baseline", str(good)]).exit_code == 1
    assert run.invoke(cli, ["check", str(bad), "--baseline", "nowhere"]).exit_code == 2


def test_a_baseline_committed_at_a_git_revision_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    baseline.write(table(base()), Path("results/baselines/speech.csv"))
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "-qm", "Set"],
    ):
        subprocess.run(["git", *command], check=True)
    found = baseline.find("git:HEAD", "speech")
    assert check(table(base()), found).exit_code == 0
    for name in ("git:nowhere", "git:--help"):
        with pytest.raises(UserError, match="git:"):
            baseline.find(name, "speech")


def test_names_from_records_cannot_break_the_markdown_or_the_annotations() -> None:
    hostile = table(base() - 1, setting="a|b\n::error::x")
    verdict = check(hostile, table(base(), setting="a|b\n::error::x"))
    rows = [line for line in gates.to_markdown(verdict).split("\n") if "::error::x" in line]
    assert all(line.startswith("| ") and line.endswith(" |") for line in rows)
    assert all("\n" not in line for line in gates.to_annotations(verdict))


def test_a_policy_reports_every_problem_at_once(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("rate_fial: 1\nspeed_warn: 0.5\n")
    with pytest.raises(UserError, match=r"rate_fial.*speed_warn|speed_warn.*rate_fial"):
        load_policy(path)
    path.write_text("quality:\n  visqol: {absolute: 5}\n")
    assert check(table(base() - 1), table(base()), load_policy(path)).exit_code == 0
