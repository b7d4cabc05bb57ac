"""Errors of other processes: what one of them tells is an error of the same kind here."""

from typing import Self

import msgspec

from xception.errors import CheckFailed, EnvironmentFault, UsageError, XceptionError

_KINDS = {kind.exit_code: kind for kind in (UsageError, CheckFailed, EnvironmentFault)}


class ToldFault(msgspec.Struct, frozen=True, kw_only=True):
    """An error of another process."""

    sentence: str
    exit_code: int | None
    """The exit code of an error that was raised on purpose; None of any other."""

    @classmethod
    def from_error(cls, error: Exception, where: str = "") -> Self:
        """The fault that an error is; `where` says where it was raised, in brackets behind the sentence."""
        place = f" ({where})" if where else ""
        if isinstance(error, XceptionError):
            return cls(sentence=f"{error}{place}", exit_code=error.exit_code)
        return cls(sentence=f"{type(error).__name__}: {error}{place}", exit_code=None)

    def error(self) -> Exception:
        """The error to raise for it here."""
        return RuntimeError(self.sentence) if self.exit_code is None else _KINDS[self.exit_code](self.sentence)
