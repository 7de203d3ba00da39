"""The errors that folksong raises on purpose, and how messages name and count things.

Every message names the file or value at fault and what to do about it. The command line prints such a message
without a traceback and exits with 1; any other exception is a bug.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SHOWN = 5  # names in a message before "and n more"


class FolksongError(ValueError):
    """Something the user can mend: a bad file, a wrong option, a missing extra."""


class FileFormatError(FolksongError):
    """A file is not what its name or place promises: truncated, of another format, or damaged."""


class ForeignFileError(FolksongError):
    """Where an output is to be written is a file that its writer did not make."""


class UnclearSourceError(FileFormatError):
    """A source of tags that can be read once more is known of it.

    Args:
        message: what is unclear.
        options: of `read_tags`, by name, with which it may be read.

    `read_tags` adds the `source` and the options that were given.
    """

    source: object = None

    def __init__(self, message: str, **options: object) -> None:
        super().__init__(message)
        self.options = options


class AudioError(FolksongError):
    """A recording cannot be decoded."""


class NoRecordingError(AudioError):
    """A file's content is of no format that recordings have."""


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Let imports of the block fail with the command that installs what they need.

    Raises:
        FolksongError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "folksong":
            raise
        raise FolksongError(
            f'{what} needs the package {package}, which is not installed: pip install "folksong[{extra}]"'
        ) from error


def first_line(error: Exception, most: int = 200) -> str:
    """Return the first line of what an error of another library says, or else its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


PASSING = "not read this time: "
"""How the reason begins why a file could not be read that may be read the next time, which is then tried."""


def may_pass(error: Exception) -> bool:
    """Say whether what kept a file from being read may be gone the next time: decoders wrap the system's errors."""
    return any(isinstance(one, OSError | MemoryError) for one in (error, error.__cause__))


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return a hint ``; did you mean 'x'?`` with the known word nearest to `word`, or an empty string.

    All that go on after `word` with a hyphen are named.

    >>> nearest("musicnn", ["musicnn-mtt", "musicnn-msd", "vgg-mtt"]), nearest("vggmtt", ["musicnn-mtt", "vgg-mtt"])
    ("; did you mean 'musicnn-mtt' or 'musicnn-msd'?", "; did you mean 'vgg-mtt'?")
    """
    from difflib import get_close_matches

    same = [name for name in known if name.lower() == word.lower()]
    longer = [name for name in known if name.lower().startswith(f"{word.lower()}-")]
    matches = same[:1] or longer or get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, matches))}?" if matches else ""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "track"), counted(12345, "track")
    ('1 track', '12,345 tracks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text that can be written anywhere: bytes of a name that are not UTF-8 become ``\xe9``."""
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError:  # half of a pair of surrogates, which no file name can hold
        name = os.fspath(path).encode("utf-8", "backslashreplace")
    return name.decode("utf-8", "backslashreplace")


def some_of(names: Iterable[object], most: int = SHOWN) -> str:
    """Return the first few names, printable, and how many more there are."""
    every = [printable(str(name)) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
