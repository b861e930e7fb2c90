"""The two errors that are part of the interface; anything else that escapes is a bug."""


class UserError(Exception):
    """Something the user can mend. Printed as one line, exit status 2, no traceback.

    The message says where, what was found, what was expected and what to do:
    ``suites/speech.yaml:14 metrics[2]: unknown metric 'sisdr'. Did you mean 'si_sdr'?``
    """


class UnscorableError(Exception):
    """A metric has no value for this pair. The message becomes the reason in the record.

    Raise it instead of returning 0.0, 1.0 or NaN: a made-up number is averaged in and lies.
    """


class CodecUnavailableError(UserError):
    """A codec or metric cannot run here; the message says how to install what is missing."""


class DecodeError(Exception):
    """A codec refuses a payload (damaged, truncated, foreign). The message becomes the reason."""
