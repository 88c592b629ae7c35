"""One family of errors: what a user can mend is an `EpipoleError`, said in one sentence and caught once, in the CLI."""


class EpipoleError(Exception):
    """Something the user can mend; its text says what is wrong and what to do."""


class InputError(EpipoleError):
    """A file, folder or argument that cannot be used."""


class FootageError(EpipoleError):
    """Footage from which depth and motion cannot be learned (static, pure rotation, too short, cut too often)."""


class TrainingError(EpipoleError):
    """Training left the healthy range: a loss that is not finite, a depth that collapsed."""


class MissingField(EpipoleError, KeyError):
    """A system read a field that its source does not provide, or that it did not declare in `needs`."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0]) if self.args else ""
