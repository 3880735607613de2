"""The one family of errors that a person is meant to read."""


class LlinkError(ValueError):
    """Something a person can put right: the message names what, where and what to do."""

    exit_code = 2
    """2 for wrong use (the default), 1 for a failure while working."""


class TooLong(LlinkError):
    """Text of more sentences or tokens than are read at once."""

    index: int | None = None
    """Of the message it is in."""


class JobFailed(LlinkError):
    """The job was asked for correctly but could not be carried out."""

    exit_code = 1
