"""Failures: what is wrong, and the fix."""


class Failed(Exception):
    """A failure that is told in one message."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = what, fix
        super().__init__(what)


class Full(Failed):
    """The repository has no room left, so that no store can be saved."""


def told(error: Exception) -> str:
    """Any error in one line."""
    text = error.what if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
