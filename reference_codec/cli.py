"""`nac`: encode, decode, look into files, train, list models. Parse, call, print, exit code."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from reference_codec.errors import UserError

if TYPE_CHECKING:
    from reference_codec.backend import Samples
    from reference_codec.codec import Codec

PIECE_FRAMES = 1 << 16  # samples read from a file at a time
COMPARED_S = 10.0
LONGEST_CALIBRATION_S = 120.0
CODINGS = ("packed", "adaptive", "neural")
_STANDARD = "-"


def main() -> None:
    """Run `nac`; errors that the user can mend are one line and exit status 2."""
    from reference_codec.bitstream import BitstreamError

    try:
        nac.main(standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (UserError, BitstreamError, OSError) as error:
        click.echo(f"nac: {error}", err=True)
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nacbench", prog_name="nac")
def nac() -> None:
    """Neural audio codec: audio files to `.nac` and back.

    INPUT and OUTPUT may be `-` for standard input and output.
    """


_backend = click.option(
    "--backend",
    default="torch",
    show_default=True,
    help="What runs the model: torch, or onnx after 'nac export'.",
)

_precision = click.option(
    "--precision",
    type=click.Choice(("float32", "bfloat16")),
    default="float32",
    show_default=True,
    help="Of the networks, with torch; bfloat16 is faster and gives other codes.",
)


@nac.command()
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option("--model", required=True, help="Checkpoint, preset or path; see 'nac models'.")
@click.option("--kbps", type=float, help="Rate of one coded signal; the highest by default.")
@click.option("--coding", type=click.Choice(CODINGS), help="Entropy coding; densest by default.")
@_backend
@_precision
def encode(
    source: str,
    target: str,
    model: str,
    kbps: float | None,
    coding: str | None,
    backend: str,
    precision: str,
) -> None:
    """Encode an audio file of any rate and channel count.

    With bfloat16, standard error tells what share of the first ten seconds' codes it changes; with
    an int8 export, what was measured when it was made.
    """
    import soundfile

    from reference_codec.bitstream import Coding
    from reference_codec.codec import FILE_BLOCK_S

    codec = _load(model, backend, precision)
    wanted = None if coding is None else Coding[coding.upper()]
    with _readable(source) as file:
        try:
            audio = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:
            raise UserError(f"{source}: not readable as audio ({error}).") from error
        encoder = codec.stream_encoder(
            audio.samplerate, audio.channels, kbps, wanted, audio.frames, FILE_BLOCK_S
        )
        with _written(target) as out, _progress("Encoding", audio.frames) as advance:
            for piece in audio.blocks(PIECE_FRAMES, dtype="float32", always_2d=True):
                out.write(encoder.push(piece.T))
                advance(len(piece))
            out.write(encoder.finish())
        if precision != "float32":
            audio.seek(0)
            start = audio.read(round(COMPARED_S * audio.samplerate), "float32", always_2d=True).T
            click.echo(
                _effect(codec, _load(model, backend), start, audio.samplerate, kbps), err=True
            )
        elif codec.effect:
            click.echo(f"{codec.effect} (measured when it was exported)", err=True)


@nac.command()
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option("--model", help="Preset or checkpoint; by default the one that the file names.")
@click.option("--resync", is_flag=True, help="Conceal damaged or missing blocks with silence.")
@click.option("--subtype", default="PCM_16", show_default=True, help="WAV sample format, or FLOAT.")
@_backend
@_precision
def decode(
    source: str,
    target: str,
    model: str | None,
    resync: bool,
    subtype: str,
    backend: str,
    precision: str,
) -> None:
    """Decode a `.nac` file to WAV, FLAC, … at the rate and length that went in."""
    import soundfile

    from reference_codec.bitstream import read_header
    from reference_codec.bitstream_v0 import refuse_v0

    with _readable(source) as file:
        refuse_v0(file)
        info = read_header(file)
        file.seek(0)
        codec = _load(model or info.model, backend, precision)
        kind = Path(target).suffix[1:].upper() if target != _STANDARD else "WAV"
        chunks = iter(lambda: file.read(PIECE_FRAMES), b"")
        with (
            _written(target) as out,
            _progress("Decoding", max(info.sample_count, 0)) as advance,
            soundfile.SoundFile(
                out, "w", info.sample_rate_hz, info.channels, subtype, format=kind or "WAV"
            ) as audio,
        ):
            for piece in codec.decode_pieces(chunks, resync):
                audio.write(piece.T)
                advance(piece.shape[1])


@nac.command()
@click.argument("source", metavar="INPUT")
@click.option("--codes", is_flag=True, help="Print the codes too, a line per codebook.")
@click.option("--model", help="Whose neural prior coded it; by default the one that it names.")
def info(source: str, codes: bool, model: str | None) -> None:
    """Show what is in a `.nac` file: metadata, rate by block, entropy of each codebook.

    Needs the model only where the file's codes are entropy coded with its prior.
    """
    from reference_codec import inspection

    with _readable(source) as file:
        for table in inspection.describe(file, codes, model):
            click.echo(table)


@nac.command()
@click.argument("model")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(("float32", "int8")),
    default="float32",
    show_default=True,
    help="int8: smaller files that give other codes; needs --calibrate.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="AUDIO",
    help="A recording of what int8 will code: one half sets its ranges, the other tests it.",
)
def export(model: str, directory: Path, precision: str, calibrate: Path | None) -> None:
    """Write MODEL as ONNX into DIRECTORY, for '--backend onnx': faster, and without PyTorch.

    With int8 it tells what share of the codes change, how far the audio is from float32's, and how
    fast both are here.
    """
    from reference_codec import checkpoint, presets
    from reference_codec.checkpoints import EXPORTED_PRIOR, prior_beside, shipped

    if (precision == "int8") != (calibrate is not None):
        raise UserError("'--precision int8' and '--calibrate AUDIO' go together.")
    path = shipped().get(model, Path(model))
    is_file = path.is_file()
    network = checkpoint.load(path) if is_file else presets.build(model)
    try:
        from reference_codec import export as exporting
        from reference_codec import int8
    except ModuleNotFoundError as error:
        raise UserError(f"'nac export' needs {error.name}: pip install {error.name}") from error
    effect: int8.Effect | None = None
    if calibrate is None:
        files = exporting.export(network, directory)
    else:
        files, effect = int8.export(network, directory, *_recording(calibrate))
    for written in files:
        click.echo(f"{written}  {written.stat().st_size / 1e6:.1f} MB")
    if effect is not None:
        click.echo(effect)
        click.echo(
            f"processor time of float32 ÷ int8 here: encode {effect.encode_speed:.2f}, "
            f"decode {effect.decode_speed:.2f}"
        )
    if is_file and (prior := prior_beside(path)):
        shutil.copyfile(prior, directory / EXPORTED_PRIOR)


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `train` and `finetune` share, gathered into `Choices`."""
    path = click.Path(path_type=Path)
    options = (
        click.argument("changes", nargs=-1, metavar="[KEY=VALUE …]"),
        click.option("--data", required=True, type=path, metavar="DIR_OR_MANIFEST",
                     help="Folder of recordings, or a CSV with a 'path' column."),
        click.option("--out", type=path, help="Directory of the run; runs/NAME by default."),
        click.option("--cache", type=path, help="Where decoded recordings are kept."),
        click.option("--resume", is_flag=True, help="Go on from the newest checkpoint."),
        click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True),
                     help="Stop after so long, with a checkpoint to resume from."),
        click.option("--split", is_flag=True, help="Checkpoints in files of at most 16 MB."),
        click.option("--dry-run", is_flag=True,
                     help="Print parameters, FLOPs, memory and hours of data, and stop."),
        click.option("--threads", type=click.IntRange(1), help="PyTorch's, on the processor."),
        click.option("--workers", type=click.IntRange(0),
                     help="Processes that make batches; 0: one thread."),
        click.option("--tensorboard/--no-tensorboard", default=True, show_default=True),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@nac.command()
@click.argument("recipe")
@_training_options
def train(recipe: str, changes: tuple[str, ...], **choices: Any) -> None:
    """Train a codec by a recipe.

    RECIPE is a packaged one or a YAML file; KEY=VALUE changes its values.

    \b
    nac train tiny --data recordings/
    nac train speech-16k --data clips.csv --max-minutes 60 optimiser.learning_rate=5e-4
    """
    with _training_ready():
        from reference_codec.training import command
    command.train(recipe, changes, command.Choices(**choices))


@nac.command()
@click.argument("checkpoint")
@click.option("--recipe", help="Packaged or a file; by default the one it was trained with.")
@_training_options
def finetune(checkpoint: str, recipe: str | None, changes: tuple[str, ...], **choices: Any) -> None:
    """Go on training a finished codec.

    On other data, or by another recipe, at a third of the recipe's learning rate.
    """
    with _training_ready():
        from reference_codec.training import command
    command.finetune(checkpoint, recipe, changes, command.Choices(**choices))


@contextmanager
def _training_ready() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"training needs {error.name}: pip install 'nacbench[training]'") from error


@nac.command()
def models() -> None:
    """List presets and shipped checkpoints."""
    from reference_codec import checkpoint
    from reference_codec.checkpoints import shipped
    from reference_codec.presets import PRESETS

    click.echo(f"{'model':20} {'rate':>9} {'ch':>3} {'frames/s':>9}  {'kbps':36} weights")
    names = shipped()
    checkpoints = [(name, checkpoint.describe(path)[0], str(path)) for name, path in names.items()]
    presets = [(name, config, "untrained") for name, config in PRESETS.items()]
    for name, config, weights in [*checkpoints, *presets]:
        rates = ", ".join(f"{kbps:g}" for kbps in config.kbps)
        click.echo(
            f"{name:20} {config.sample_rate_hz:>6} Hz {config.channels:>3} "
            f"{config.frame_rate_hz:>9.2f}  {rates:36} {weights}"
        )


def _load(model: str, backend: str, precision: str = "float32") -> Codec:
    from reference_codec.codec import load

    return load(model, backend, precision)


def _recording(path: Path) -> tuple[Samples, int]:
    """The first minutes of a file, `[channels, time]`, and its rate."""
    import soundfile

    with _readable(str(path)) as file:
        try:
            audio = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:
            raise UserError(f"{path}: not readable as audio ({error}).") from error
        most = round(LONGEST_CALIBRATION_S * audio.samplerate)
        return audio.read(most, "float32", always_2d=True).T, audio.samplerate


def _effect(codec: Codec, exact: Codec, audio: Samples, rate_hz: int, kbps: float | None) -> str:
    from reference_codec.codec import changed_codes

    every, first = changed_codes(codec, exact, audio, rate_hz, kbps)
    return (
        f"bfloat16 changes {every:.1%} of the codes and {first:.1%} of the first codebook's "
        f"(first {audio.shape[1] / rate_hz:.1f} s, beside float32)"
    )


@contextmanager
def _readable(source: str) -> Iterator[BinaryIO]:
    """The file, or standard input spooled to disk: audio readers must seek."""
    if source != _STANDARD:
        if not Path(source).is_file():
            raise UserError(f"{source}: no such file.")
        with Path(source).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool


@contextmanager
def _written(target: str) -> Iterator[Any]:
    """A file that appears whole or not at all; standard output gets it at the end."""
    if target == _STANDARD:
        with tempfile.TemporaryFile() as spool:
            yield spool
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout.buffer)
        return
    path = Path(target)
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such directory.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where a terminal shows it and the work is long enough to see."""
    with click.progressbar(
        length=max(total, 1), label=what, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        yield bar.update
