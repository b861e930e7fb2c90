"""The error of this package that its user can mend; anything else that escapes is a bug."""


class UserError(Exception):
    """One line: where, what was found, what was expected, what to do. No traceback is shown."""
