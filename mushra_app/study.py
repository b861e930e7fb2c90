"""A study: what listeners hear and are asked, in one folder that needs nothing else.

    STUDY/study.yaml          this file's models
    STUDY/audio/ITEM/CONDITION.wav    32-bit float or 24-bit, all of an item equal in length

The folder is the experimenter's. Listeners never see its names: `trial.py` blinds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from nacbench.errors import UserError

FILE = "study.yaml"
MAX_BYTES = 4 * 1024 * 1024  # a thousand items are a tenth of it
MAX_DEPTH = 16

Role = Literal["reference", "low_anchor", "mid_anchor", "system"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
Text = Annotated[str, Field(max_length=20_000)]
RelativeWav = Annotated[
    str,  # no part begins with a dot, so it cannot lead out of the folder
    Field(pattern=r"^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*\.(?:wav|WAV)$"),
]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Stimulus(_Strict):
    """One signal of one item, as it is played.

    Attributes:
        condition: id of its `Condition`; the open reference has that of the hidden one.
        file: WAV, relative to the study's folder.
        pcm_sha256: `nacbench.audio.sha256` of what the file holds.
        frames: samples per channel.
        lufs: integrated loudness (BS.1770) as played; None where it is silent.
        gain_db: what the loudness alignment of the item applied to this signal.
    """

    condition: Name
    role: Role
    file: RelativeWav
    pcm_sha256: Sha256
    frames: int = Field(ge=1)
    channels: int = Field(default=1, ge=1, le=2)
    lufs: float | None = None
    gain_db: float = 0.0


class Item(_Strict):
    """One trial's signals.

    Attributes:
        reference: the open reference.
        conditions: everything that is graded, hidden reference and anchors included.
        clip, noise: the run's clip and condition that it was cut from, to join with the metrics.
        start_s: where in the clip it begins.
    """

    id: Name
    title: str = Field(default="", max_length=200)
    reference: Stimulus
    conditions: tuple[Stimulus, ...] = Field(min_length=1)
    clip: str = ""
    noise: str = "clean"
    start_s: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _sound(self) -> Item:
        names = [stimulus.condition for stimulus in self.conditions]
        _refuse_twice(names, f"item '{self.id}': condition")
        roles = [stimulus.role for stimulus in self.conditions]
        for role in ("reference", "low_anchor", "mid_anchor"):
            if roles.count(role) > 1:
                raise ValueError(f"item '{self.id}': more than one {role}")
        if self.reference.role != "reference":
            raise ValueError(f"item '{self.id}': its reference has the role {self.reference.role}")
        return self

    @property
    def stimuli(self) -> tuple[Stimulus, ...]:
        """The open reference, then everything that is graded."""
        return self.reference, *self.conditions


class Condition(_Strict):
    """What is graded across items: the hidden reference, an anchor, or a system.

    Attributes:
        point: key of the run's operating point, to join with the metrics; "" without a run.
        payload_kbps: mean over the study's items, as measured in the run.
    """

    id: Name
    role: Role
    title: str = Field(max_length=200)
    point: str = ""
    payload_kbps: float | None = Field(default=None, ge=0)


class Question(_Strict):
    """One question before or after the test; its texts by language.

    Attributes:
        choices: for "choice": stored value -> language -> label.
    """

    id: Name
    kind: Literal["text", "long_text", "number", "choice"]
    label: dict[Language, Text]
    optional: bool = True
    choices: dict[Annotated[str, Field(max_length=200)], dict[Language, Text]] = {}
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _has_choices(self) -> Question:
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError(f"question '{self.id}': choices belong to the kind 'choice' alone")
        return self


class Study(_Strict):
    """A MUSHRA test after ITU-R BS.1534-3, ready to be served.

    Attributes:
        slug: names it in addresses and in the store.
        conditions: what is graded, hidden reference and anchors first.
        items: the graded trials.      training: trials before them; their grades are never used.
        consent_version: raise it whenever the text changes; stored with every consent.
        consent: language -> the study's own consent text; the app's where empty.
        questionnaire: asked after the consent; answers are kept apart from the ratings.
        replicate_share: part of the items that every listener rates twice, 0…1.
        block_trials: trials between two offers of a break, at most.
        seed: of every order that is drawn.
        run: name of the run it was made from.     metrics: the run's metric recipes.
        anchors: how the anchors were generated, as BS.1534-3 wants it reported.
        notes: what preparing it changed, for the report.
    """

    format: Literal[1] = 1
    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: str = Field(max_length=200)
    version: int = Field(default=1, ge=1)
    sample_rate_hz: int = Field(ge=8000, le=192_000)
    created: str = Field(max_length=40)
    consent_version: str = Field(default="1", max_length=40)
    consent: dict[Language, Text] = {}
    retention: str = Field(default="", max_length=40, description="until when ratings are kept")
    languages: tuple[Language, ...] = Field(default=("en", "de"), min_length=1)
    replicate_share: float = Field(default=0.25, ge=0, le=1)
    block_trials: int = Field(default=8, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    questionnaire: tuple[Question, ...] = ()
    conditions: tuple[Condition, ...] = Field(min_length=1)
    items: tuple[Item, ...] = Field(min_length=1)
    training: tuple[Item, ...] = ()
    run: str = ""
    suite: str = ""
    anchors: str = ""
    notes: tuple[str, ...] = ()

    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        _refuse_twice([item.id for item in self.all_items], "item")
        _refuse_twice([condition.id for condition in self.conditions], "condition")
        _refuse_twice([question.id for question in self.questionnaire], "question")
        roles = {condition.id: condition.role for condition in self.conditions}
        for item in self.all_items:
            for stimulus in item.stimuli:
                if roles.get(stimulus.condition) != stimulus.role:
                    raise ValueError(
                        f"item '{item.id}': '{stimulus.condition}' is no {stimulus.role} among "
                        "the study's conditions"
                    )
        return self

    @property
    def all_items(self) -> tuple[Item, ...]:
        """Training first."""
        return *self.training, *self.items

    @property
    def folder(self) -> Path:
        """Where it was loaded from or saved to."""
        return self._folder

    @property
    def sha256(self) -> str:
        """Hash of everything the study says, the hashes of its audio included."""
        content = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def item(self, item_id: str) -> Item:
        """Raises:
        KeyError: no such item.
        """
        return next((i for i in self.all_items if i.id == item_id), None) or _none(item_id)

    def condition(self, condition_id: str) -> Condition:
        """Raises:
        KeyError: no such condition.
        """
        found = (c for c in self.conditions if c.id == condition_id)
        return next(found, None) or _none(condition_id)

    def audio_path(self, stimulus: Stimulus) -> Path:
        return self._folder / stimulus.file

    def save(self, folder: Path | str) -> Path:
        """Write `study.yaml` into a folder; the audio is written by `prepare`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = self.model_dump(mode="json", exclude_defaults=True)
        content = {"format": self.format, **content}
        path = folder / FILE
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        path.write_text(text, encoding="utf-8")
        self._folder = folder
        return path

    @classmethod
    def load(cls, path: Path | str) -> Study:
        """Read a study from its folder or its `study.yaml`.

        Raises:
            UserError: there is none, or it is not what this file describes.
        """
        path = Path(path)
        file = path / FILE if path.is_dir() else path
        if not file.is_file():
            raise UserError(
                f"{path}: no {FILE} here. 'nacbench mushra prepare RUN --out DIR' writes a study."
            )
        content = read_yaml(file)
        try:
            study = cls.model_validate(content)
        except ValidationError as error:
            lines = [f"{file}: {_in_words(detail)}" for detail in error.errors(include_url=False)]
            raise UserError("\n".join(lines[:20])) from error
        study._folder = file.parent
        return study


def _refuse_twice(names: list[str], what: str) -> None:
    """Names that differ in case alone are one file on some systems."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(f"{what} '{name}' is there twice")
        seen.add(name.casefold())


def _none(name: str) -> Any:
    raise KeyError(name)


def read_yaml(file: Path) -> Any:
    """Plain values; size and depth are bounded and aliases refused before anything is built."""
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f"{file}: over {MAX_BYTES // 2**20} MiB, which no study needs.")
    try:
        text = file.read_text(encoding="utf-8")
        if trouble := next(_troubles(text), None):
            raise UserError(f"{file}: {trouble}")
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        message = " ".join(str(error).split())
        raise UserError(f"{file}: not readable as YAML: {message}.") from error


def _troubles(text: str) -> Iterator[str]:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            yield f"line {line}: an alias. Write the value out."
        if depth > MAX_DEPTH:
            yield f"line {line}: more than {MAX_DEPTH} levels, which no study needs."


def _in_words(detail: Any) -> str:
    place = ""
    for step in detail["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    if detail["type"] == "value_error":
        return f"{place}: {detail['ctx']['error']}.".lstrip(": ")
    found = json.dumps(detail["input"], ensure_ascii=False, default=str)
    shown = found if len(found) <= 60 else found[:57] + "…"
    return f"{place}: {detail['msg'][:1].lower()}{detail['msg'][1:]}, found {shown}."
