"""webMUSHRA's files: its configuration in YAML and its results in CSV, both ways.

The configuration names audio by paths relative to webMUSHRA's folder. Results have one line per
graded signal; `reference`, `anchor35` and `anchor70` are its fixed names, and ours.

Source: webMUSHRA 07130f2, `service/write.php` and its configurations; written anew from their
formats.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mushra_app import ratings
from mushra_app.prepare import HIDDEN, LOW, MID, Material, Settings, build, name_of, unique_names
from mushra_app.study import Condition, Question, Study, read_yaml
from nacbench import alignment, audio
from nacbench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

CONFIG = "webmushra.yaml"
BEFORE = "session_test_id"
AFTER = (
    "session_uuid", "trial_id", "rating_stimulus", "rating_score", "rating_time", "rating_comment",
)  # fmt: skip
KINDS = {"text": "text", "long_text": "long_text", "number": "number", "likert": "choice"}
ROLES = {HIDDEN: "reference", LOW: "low_anchor", MID: "mid_anchor"}


# Results


def to_csv(
    frame: pd.DataFrame, study: Study, answers: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Ratings as webMUSHRA's `mushra.csv`; the header is its own, to the letter.

    Replicates are called `ITEM_replicate`, training `training_ITEM`, for it has no word for them.

    Args:
        answers: participant -> question -> answer; columns only where given.
    """
    questions = list(dict.fromkeys(q for given in (answers or {}).values() for q in given))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([BEFORE, *questions, *AFTER])
    elapsed = _elapsed_ms(frame)
    for line in ratings.lines(frame):
        own = (answers or {}).get(line.participant, {})
        trial = {"test": "{}", "replicate": "{}_replicate", "training": "training_{}"}[line.phase]
        writer.writerow(
            [study.slug, *(own.get(q, "") for q in questions), line.participant,
             trial.format(line.item), line.condition, line.score, elapsed[line.trial], ""]
        )  # fmt: skip
    return text.getvalue()


def _elapsed_ms(frame: pd.DataFrame) -> dict[str, int]:
    """Trial -> milliseconds since the one before was submitted."""
    trials = frame.drop_duplicates("trial").sort_values(["session", "position"])
    before: dict[str, int] = {}
    found = {}
    for line in ratings.lines(trials):
        since = before.get(line.session, line.started_ms)
        found[line.trial] = int(line.submitted_ms - since)
        before[line.session] = line.submitted_ms
    return found


def is_results(path: Path) -> bool:
    """Whether a file begins as webMUSHRA's `mushra.csv` does."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(len(BEFORE)) == BEFORE


def from_csv(path: Path, study: Study | None = None, training: Sequence[str] = ()) -> pd.DataFrame:
    """webMUSHRA's `mushra.csv` as `ratings.frame` has it.

    Files from before there was a `session_uuid` are grouped by the questionnaire's answers.

    Args:
        training: ids of pages that were practice, as webMUSHRA does not say.
    Raises:
        UserError: not its header, a line of another length (the questionnaire was changed under
            the file), a score that cannot be, or a name that the study does not hold.
    """
    import pandas as pd

    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not readable as CSV ({error}).") from error
    if not lines or lines[0][:1] != [BEFORE]:
        raise UserError(f"{path}:1: not webMUSHRA's mushra.csv: it begins with '{BEFORE}'.")
    header = lines[0]
    has_uuid = AFTER[0] in header
    tail = AFTER if has_uuid else AFTER[1:]
    if tuple(header[-len(tail) :]) != tail:
        raise UserError(f"{path}:1: the header must end with {','.join(AFTER)}.")
    items = [item.id for item in study.all_items] if study else None
    conditions = [condition.id for condition in study.conditions] if study else None
    listeners: dict[tuple[str, ...], dict[str, int]] = {}
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise UserError(
                f"{path}:{number}: {len(line)} columns, the header has {len(header)}. The "
                "questionnaire was changed after the file was begun; split it there."
            )
        said = dict(zip(header, line, strict=True))
        who = (said[AFTER[0]],) if has_uuid else tuple(line[1 : -len(tail)])
        trials = listeners.setdefault(who, {})
        trial = said["trial_id"]
        score = said["rating_score"]
        if not score.isdecimal() or int(score) > 100:
            raise UserError(f"{path}:{number}: score '{score}', expected 0 to 100.")
        phase, item = _phase(trial, training)
        position = trials.setdefault(trial, len(trials))
        index = list(listeners).index(who)
        name = who[0] if has_uuid else f"listener{index + 1}"
        rows.append(
            {
                "participant": name, "session": name, "finished": True, "square_row": index,
                "trial": f"{name}/{trial}", "position": position, "phase": phase,
                "item": _known(item, items, path, number),
                "slot": 0,
                "condition": _known(said["rating_stimulus"], conditions, path, number),
                "role": ROLES.get(said["rating_stimulus"], "system"),
                "score": int(score), "moves": 1, "started_ms": 0,
                "submitted_ms": int(said["rating_time"] or 0),
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(ratings.COLUMNS))
    frame["slot"] = frame.groupby("trial").cumcount()
    times = frame.drop_duplicates("trial").set_index("trial")
    frame["submitted_ms"] = frame["trial"].map(times.groupby("session")["submitted_ms"].cumsum())
    return frame


def _phase(trial: str, training: Sequence[str]) -> tuple[str, str]:
    if trial in training:
        return "training", trial
    if trial.startswith("training_"):
        return "training", trial.removeprefix("training_")
    if trial.endswith("_replicate"):
        return "replicate", trial.removesuffix("_replicate")
    return "test", trial


def _known(name: str, known: Sequence[str] | None, path: Path, number: int) -> str:
    """The study's own spelling of a name that came from webMUSHRA."""
    if known is None or name in known:
        return name
    if (ours := name_of(name)) in known:
        return ours
    raise UserError(f"{path}:{number}: '{name}' is not in the study.")


# Configuration


def export(study: Study, out: Path) -> Path:
    """Write `webmushra.yaml` and the audio it names; webMUSHRA makes the anchors' like itself, so
    ours go along as plain stimuli only where they are no anchors of its own.

    Put the folder into webMUSHRA's `configs/` and open `?config=` with its name.
    """
    out.mkdir(parents=True, exist_ok=True)
    prefix = f"configs/{out.name}"
    pages: list[Any] = [_consent(study)] if study.consent else []
    pages += [_page(study, item.id, prefix, training=True) for item in study.training]
    pages.append(["random", *(_page(study, item.id, prefix) for item in study.items)])
    pages.append(
        {
            "type": "finish", "name": "Thank you", "content": "Thank you.", "showResults": False,
            "writeResults": True, "questionnaire": [_question(q) for q in study.questionnaire],
        }
    )  # fmt: skip
    content = {
        "testname": study.title, "testId": study.slug, "bufferSize": 2048, "stopOnErrors": True,
        "showButtonPreviousPage": False, "remoteService": "service/write.php", "pages": pages,
    }  # fmt: skip
    path = out / CONFIG
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")
    for item in study.all_items:
        for stimulus in item.stimuli:
            if stimulus.role in ("reference", "system"):
                target = out / stimulus.file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(study.audio_path(stimulus), target)
    return path


def _consent(study: Study) -> dict[str, Any]:
    text = study.consent.get("en") or next(iter(study.consent.values()))
    return {"type": "consent", "id": "consent", "name": "Consent", "content": text,
            "mustConsent": True}  # fmt: skip


def _page(study: Study, item_id: str, prefix: str, training: bool = False) -> dict[str, Any]:
    item = study.item(item_id)
    roles = {stimulus.role for stimulus in item.conditions}
    return {
        "type": "mushra",
        "id": f"training_{item.id}" if training else item.id,
        "name": "Training" if training else "",
        "content": "",
        "showWaveform": True,
        "enableLooping": True,
        "strict": True,
        "reference": f"{prefix}/{item.reference.file}",
        "createAnchor35": "low_anchor" in roles,
        "createAnchor70": "mid_anchor" in roles,
        "randomize": not training,
        "showConditionNames": training,
        "stimuli": {
            s.condition: f"{prefix}/{s.file}" for s in item.conditions if s.role == "system"
        },
    }


def _question(question: Question) -> dict[str, Any]:
    kind = next(theirs for theirs, ours in KINDS.items() if ours == question.kind)
    found: dict[str, Any] = {
        "type": kind, "label": _text(question.label), "name": question.id,
        "optional": question.optional,
    }  # fmt: skip
    if question.minimum is not None:
        found["min"] = question.minimum
    if question.maximum is not None:
        found["max"] = question.maximum
    if question.choices:
        found["response"] = [
            {"value": value, "label": _text(label)} for value, label in question.choices.items()
        ]
    return found


def _text(texts: Mapping[str, str]) -> str:
    return texts.get("en") or next(iter(texts.values()))


def import_config(config: Path, root: Path, settings: Settings, out: Path) -> Study:
    """A study from webMUSHRA's YAML: its MUSHRA pages, its consent, its questionnaire.

    Anchors are made anew, by ours. A page that shows the names of its signals is training.

    Args:
        root: webMUSHRA's folder, which its paths begin in.
    Raises:
        UserError: not such a configuration, or audio that is not there.
    """
    content = read_yaml(config)
    if not isinstance(content, dict) or not isinstance(content.get("pages"), list):
        raise UserError(f"{config}: not a configuration of webMUSHRA: it has no 'pages'.")
    pages = list(_flat(content["pages"], config))
    tests = [page for page in pages if page.get("type") == "mushra"]
    if not tests:
        raise UserError(f"{config}: no page of the type 'mushra'.")
    systems = list(dict.fromkeys(str(n) for page in tests for n in _stimuli(page, config)))
    ids = dict(zip(systems, unique_names(systems), strict=True))
    practice = [page for page in tests if page.get("showConditionNames") in (True, "true")]
    conditions = [Condition(id=ids[name], role="system", title=name) for name in systems]

    def material(page: Mapping[str, Any]) -> Material:
        name = str(page.get("id", "")) or "item"
        reference = audio.read(_inside(root, page.get("reference"), config), clip_id=name)
        decoded = {}
        for system, path in _stimuli(page, config).items():
            clip = audio.read(_inside(root, path, config))
            if clip.channels != reference.channels:
                raise UserError(f"{path}: {clip.channels} channels, unlike its reference.")
            clip = audio.at_rate(clip, reference.sample_rate_hz)
            decoded[ids[str(system)]] = alignment.align(reference, clip)[0]
        name = name.removeprefix("training_")
        return Material(
            id=name_of(name), reference=reference, decoded=decoded, title=name, clip=name
        )

    slug = name_of(str(content.get("testId", settings.slug))).replace(".", "-").replace("_", "-")
    title = str(content.get("testname", settings.title))[:200]
    study = build(
        conditions,
        map(material, [page for page in tests if page not in practice]),
        map(material, practice),
        replace(settings, slug=re.sub("-+", "-", slug.lower()).strip("-"), title=title),
        out,
    )
    texts = [str(page.get("content", "")) for page in pages if page.get("type") == "consent"]
    consent = {"en": re.sub(r"<[^>]*>", "", texts[0])} if texts else {}
    asked = [q for page in pages if page.get("type") == "finish"
             for q in page.get("questionnaire") or []]  # fmt: skip
    study = study.model_copy(
        update={"consent": consent, "questionnaire": tuple(_our_question(q, config) for q in asked)}
    )
    study.save(out)
    return Study.load(out)


def _flat(pages: Sequence[Any], config: Path) -> Iterator[dict[str, Any]]:
    """Pages of nested lists; `random` says how they are ordered, which we do ourselves."""
    for page in pages:
        if isinstance(page, list):
            yield from _flat(page[1:] if page[:1] == ["random"] else page, config)
        elif isinstance(page, dict):
            yield page
        else:
            raise UserError(f"{config}: expected a page, found {str(page)[:40]!r}.")


def _stimuli(page: Mapping[str, Any], config: Path) -> Mapping[str, str]:
    stimuli = page.get("stimuli")
    if not isinstance(stimuli, dict) or not stimuli:
        raise UserError(f"{config}: page '{page.get('id')}' has no stimuli.")
    return stimuli


def _inside(root: Path, path: object, config: Path) -> Path:
    """A path of the configuration; one that leads out of webMUSHRA's folder is refused."""
    found = (root / str(path)).resolve()
    if not found.is_relative_to(root.resolve()):
        raise UserError(f"{config}: {path} leads out of {root}.")
    if not found.is_file():
        raise UserError(f"{config}: no file {found}. Say where webMUSHRA lies with '--root'.")
    return found


def _our_question(question: Mapping[str, Any], config: Path) -> Question:
    kind = KINDS.get(str(question.get("type")))
    if kind is None:
        raise UserError(f"{config}: a question of the type {question.get('type')!r}.")
    choices = {
        str(r["value"]): {"en": str(r.get("label", r["value"]))}
        for r in question.get("response") or []
    }
    return Question.model_validate(
        {
            "id": name_of(str(question.get("name", ""))),
            "kind": kind,
            "label": {"en": str(question.get("label", ""))},
            "optional": question.get("optional") in (True, "true", None),
            "choices": choices if kind == "choice" else {},
            "minimum": question.get("min"),
            "maximum": question.get("max"),
        }
    )
