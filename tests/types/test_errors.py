import pytest

from epipole.types.errors import EpipoleError, FootageError, InputError, MissingField, TrainingError


@pytest.mark.parametrize("kind", [InputError, FootageError, TrainingError, MissingField])
def test_one_family_whose_text_is_the_sentence(kind):
    error = kind("The disk is full: free some space")
    assert isinstance(error, EpipoleError)
    assert str(error) == "The disk is full: free some space"
    assert str(kind()) == ""
