"""Exceptions and warnings of msdcam.

Wrong arguments raise Python's own: ``ValueError``, ``TypeError``, ``IndexError`` for an exit or class that the network
lacks, ``KeyError`` for results that were not asked for. Each message is one line that names the thing and the facts
that disagree.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DeviceError", "FileError", "MissingFileError", "MsdcamWarning"]


class FileError(OSError):
    """A file that cannot be used: a damaged photo, a model of another kind, an unreadable folder.

    ``filename`` is the file, ``errno`` the system's error, if it is one.
    """

    __module__ = "msdcam"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        # That of OSError leaves out what is not among the arguments.
        return type(self), self.args, {**self.__dict__, "filename": self.filename, "errno": self.errno}


class MissingFileError(FileError, FileNotFoundError):
    """A file that does not exist."""

    __module__ = "msdcam"


class DeviceError(RuntimeError):
    """A device that is not there or fails: a GPU without a driver, too little memory for a batch."""

    __module__ = "msdcam"


class MsdcamWarning(UserWarning):
    """A result that needs attention: maps that carry no information, images that were left out."""

    __module__ = "msdcam"
