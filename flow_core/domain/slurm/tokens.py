"""A batch script as lines: where its directives are, what words they hold, and where reading them stops.

The rules are sbatch's own, found by asking it. They look like a shell's and are not:
- The first line begins with `#!`. A carriage return before a newline, or a NUL, anywhere spoils the whole script.
- A directive begins in column 0 with `#SBATCH` (or, frowned upon, `#SLURM`); a space after it is not needed. Blank
  lines and comments in between are passed over. The first other line ends the reading for good.
- Quotes of both kinds may open and close inside a word. A backslash takes the next character as it is, inside
  either kind of quotes too; outside of them it can't keep a space in a word. Nothing is ever expanded.
- A bare `#` begins a comment even inside a word. A word must not begin with a bare `:`.
- An empty word ends its line unheard. So does `hetjob` (or `packjob`), except as the first word, where it begins
  another component of a heterogeneous job.

Source: Slurm 22.05.8, `sbatch --hold` over scripts that each try one rule (tests/slurm).
"""

from __future__ import annotations

import re

from attrs import field, frozen

_BLANKS = " \t\n\v\f\r"
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_NEEDS_CARE = re.compile(r"[\"'\\]|hetjob|packjob", re.IGNORECASE)
_SEPARATOR = re.compile(r"(?:hetjob|packjob)(?![^ \t\n\v\f\r])", re.IGNORECASE)
#: What sbatch also reads, in the dialects of PBS and LSF.
_FOREIGN = re.compile(r"#(?:PBS|BSUB)(?![A-Za-z])")
#: Meant as a directive, most likely, and a comment to sbatch.
_LOOKALIKE = re.compile(r"(?!#SBATCH)\s*#+\s*SBATCH\b[\s-]", re.IGNORECASE)
#: What sbatch's own words about a foreign first line come down to.
_NO_SHEBANG = "the first line does not begin with '#!' and the path of an interpreter"


@frozen
class Line:
    """A line that holds directives: its number from 1, what follows `#SBATCH`, and its words."""

    number: int
    text: str
    words: tuple[str, ...] = ()


@frozen
class Flaw:
    """Why sbatch refuses, and where: the line's number, or None for the script as a whole."""

    line: int | None
    text: str
    reason: str


@frozen(kw_only=True)
class Script:
    """What a script says before its first command. `dead` are directives after it, which sbatch never sees."""

    interpreter: str = ""
    lines: tuple[Line, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    is_heterogeneous: bool = False
    first_command: int | None = None
    dead: tuple[Line, ...] = field(default=())
    foreign: tuple[Line, ...] = field(default=())
    lookalikes: tuple[Line, ...] = field(default=())
    old_prefix: tuple[Line, ...] = field(default=())


def read_script(text: str) -> Script:
    """Return the directives of a script; what sbatch refuses about its form is among `flaws`."""
    whole = _flaw_of_whole(text)
    if whole is not None:
        return Script(flaws=(Flaw(None, "", whole),))
    rows = text.split("\n")
    lines: list[Line] = []
    flaws: list[Flaw] = []
    foreign: list[Line] = []
    lookalikes: list[Line] = []
    old: list[Line] = []
    heterogeneous = False
    end = None
    for number, row in enumerate(rows[1:], start=2):
        if row.startswith(("#SBATCH", "#SLURM")):
            prefix = 7 if row[2] == "B" else 6
            rest = row[prefix:]
            words = split_words(rest)
            if isinstance(words, str):
                flaws.append(Flaw(number, rest.strip(), words))
                words = ()
            elif words and _SEPARATOR.match(rest.lstrip(_BLANKS)):
                heterogeneous = True
                words = ()
            line = Line(number, rest.strip(_BLANKS), words)
            lines.append(line)
            if prefix == 6:
                old.append(line)
            continue
        bare = row.lstrip(_BLANKS)
        if bare and bare[0] != "#":
            end = number
            break
        if bare and _FOREIGN.match(row):
            foreign.append(Line(number, row))
        elif bare and "SBATCH" in row.upper() and _LOOKALIKE.match(row):
            lookalikes.append(Line(number, row.strip()))
    return Script(
        interpreter=rows[0][2:].strip(_BLANKS),
        lines=tuple(lines),
        flaws=tuple(flaws),
        is_heterogeneous=heterogeneous,
        first_command=end,
        dead=_dead(rows, end)
        if end is not None and text.count("\n#SBATCH") > len(lines) - len(old)
        else (),
        foreign=tuple(foreign),
        lookalikes=tuple(lookalikes),
        old_prefix=tuple(old),
    )


def split_words(text: str) -> tuple[str, ...] | str:
    """Return the words of what follows `#SBATCH`, or one sentence on why sbatch can't read it."""
    if not _NEEDS_CARE.search(text):
        words = _WORD.findall(text.partition("#")[0])
        for word in words:
            if word[0] == ":":
                return f"a word begins with ':' ({word!r}); put it in quotes"
        return tuple(words)
    return _split_with_care(text)


def _split_with_care(text: str) -> tuple[str, ...] | str:
    words: list[str] = []
    place = 0
    while True:
        while place < len(text) and text[place] in _BLANKS:
            place += 1
        if place == len(text) or text[place] == "#":
            return tuple(words)
        if text[place] == ":":
            return (
                f"a word begins with ':' ({text[place:].split(maxsplit=1)[0]!r}); put it in quotes"
            )
        if words and _SEPARATOR.match(text, place):
            return tuple(words)
        found = _word_at(text, place)
        if found is None:
            return f"a quotation mark in {text.strip()!r} has no partner"
        word, place = found
        if not word:
            return tuple(words)
        words.append(word)


def _word_at(text: str, place: int) -> tuple[str, int] | None:
    """Return the word that begins at `place` and where it ends, or None when a quote stays open."""
    chars: list[str] = []
    quote = ""
    while place < len(text):
        char = text[place]
        if char == "\\":
            place += 1
            if place == len(text) or (not quote and text[place] in _BLANKS):
                break
            chars.append(text[place])
        elif quote:
            if char == quote:
                quote = ""
            else:
                chars.append(char)
        elif char in "\"'":
            quote = char
        elif char in _BLANKS or char == "#":
            break
        else:
            chars.append(char)
        place += 1
    return None if quote else ("".join(chars), place)


def _flaw_of_whole(text: str) -> str | None:
    if not text:
        return "the script is empty"
    if not text.strip(_BLANKS):
        return "the script holds nothing but blanks"
    if not text.startswith("#!"):
        lead = "a byte order mark stands before it" if text.startswith("\ufeff#!") else None
        return f"{_NO_SHEBANG}{f'; {lead}' if lead else ''}"
    if "\0" in text:
        return "the script holds a NUL character"
    if "\r\n" in text:
        return "lines end in carriage return and newline, as on Windows; `dos2unix` mends it"
    return None


def _dead(rows: list[str], end: int) -> tuple[Line, ...]:
    return tuple(
        Line(number, row[7:].strip(_BLANKS))
        for number, row in enumerate(rows[end:], start=end + 1)
        if row.startswith("#SBATCH")
    )
