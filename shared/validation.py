"""What pydantic refuses, in a few words. What was given is not repeated: it may be long, foreign or secret."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_PLACE_CHARACTERS = 200
_PROBLEM_CHARACTERS = 500


def first_problem(error: ValidationError) -> ErrorDetails:
    """The first of the problems: one is enough to mend."""
    return error.errors(include_url=False)[0]


def described(error: ValidationError, *, whole: str = "it") -> str:
    """The first problem's place and what is wrong there, each within bounds: `master.width: Input should be ...`.

    `whole` names what has no place inside.
    """
    problem = first_problem(error)
    place = ".".join(map(str, problem["loc"])) or whole
    return f"{place[:_PLACE_CHARACTERS]}: {problem['msg'][:_PROBLEM_CHARACTERS]}"
