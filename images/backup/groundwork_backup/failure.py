"""Known failures: what is wrong, and the fix."""


class Failed(Exception):
    """A failure that is told in one message."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what, self.fix = what, fix
        super().__init__(what)
