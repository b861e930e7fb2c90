"""What one server serves: a study, the store of its answers, the bodies of its signals."""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mushra_app import database
from mushra_app.bodies import Bodies
from mushra_app.records import Session
from mushra_app.store import Store
from mushra_app.study import Stimulus, Study
from mushra_app.trial import plan_session

STUDY_VARIABLE = "NACBENCH_MUSHRA_STUDY"
SECRET_VARIABLE = "NACBENCH_MUSHRA_SECRET"  # of the experimenter's page
SECRET_FILE = "experimenter.secret"
SECRET_BYTES = 24
SHORTEST_SECRET = 16  # characters of one that is given


@dataclass(frozen=True)
class Service:
    study: Study
    store: Store
    study_id: int
    bodies: Bodies
    secret: str

    def begin(self, language: str, consent: str) -> Session:
        """A new listener who has just agreed to `consent`.

        Raises:
            StoreError: the study is closed.
        """
        seed = secrets.randbits(32)
        return self.store.start_session(
            self.study_id, plan_session, seed=seed, consent_text=consent, language=language
        )

    def stimulus(self, token: str) -> Stimulus | None:
        """The signal that a token stands for in this study."""
        signal = self.store.resolve_token(token)
        if signal is None or signal.study_id != self.study_id:
            return None
        item = self.study.item(signal.item)
        graded = {stimulus.condition: stimulus for stimulus in item.conditions}
        return item.reference if signal.condition is None else graded[signal.condition]

    def set_level(self, session: Session, level_db: float) -> None:
        """What a listener chose in a break, as if the player had said it."""
        seq = self.store.state(session).next_seq
        event = {"seq": seq, "nonce": secrets.token_hex(16), "type": "level", "db": level_db}
        self.store.take(session.secret, [event])

    def is_experimenter(self, secret: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(secret.encode(), self.secret.encode())


@cache
def service() -> Service:
    """The one of this process, as the environment says."""
    folder = os.environ.get(STUDY_VARIABLE)
    study = Study.load(folder) if folder else _demo()
    store = Store(database.url_for(study.folder))
    secret = experimenter_secret(study.folder)
    if not folder:
        print(f"Demo study: {study.folder}")
        print(f"Experimenter: add ?experimenter={secret} to the address.", flush=True)
    return Service(study, store, store.add_study(study), Bodies(study), secret)


def _demo() -> Study:
    from mushra_app import demo  # brings codecs along, which no other study needs

    return demo.study()


def experimenter_secret(folder: Path) -> str:
    """Given by the environment, else drawn once and kept beside the study, for its owner alone."""
    if given := os.environ.get(SECRET_VARIABLE):
        if len(given) < SHORTEST_SECRET:
            raise ValueError(f"{SECRET_VARIABLE} must have at least {SHORTEST_SECRET} characters")
        return given
    path = folder / SECRET_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        secret = secrets.token_urlsafe(SECRET_BYTES)
        file.write(secret + "\n")
    return secret
