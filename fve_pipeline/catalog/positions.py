"""Where each key of a TOML text stands: the line numbers that ``tomllib`` throws away.

The text has gone through ``tomllib`` already, so the scanner trusts its grammar and only keeps score of
lines, tables and array elements.
"""

from __future__ import annotations

__all__ = ["key_lines", "line_of"]

Path = tuple[str | int, ...]

_BARE_END = set(" \t.=]}\n,#")


class _Scanner:
    """One pass over the text; ``lines`` maps each key's path, and each array element's, to its line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}

    def line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def skip(self, characters: str) -> None:
        """Go past any of ``characters``, and comments where newlines are among them."""
        while self.at < len(self.text):
            if self.text[self.at] in characters:
                self.at += 1
            elif self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            else:
                return

    def key(self) -> Path:
        """A bare, quoted or dotted key."""
        parts: list[str] = []
        while True:
            self.skip(" \t")
            if self.text[self.at] in "\"'":
                start = self.at
                self.string()
                parts.append(self.text[start + 1 : self.at - 1])
            else:
                start = self.at
                while self.text[self.at] not in _BARE_END:
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.skip(" \t")
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        while not self.text.startswith(fence, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(fence)
        while len(fence) == 3 and self.text.startswith(quote, self.at):  # """ends with a quote""""
            self.at += 1

    def value(self, path: Path) -> None:
        self.skip(" \t")
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.at += 1
            element = 0
            while True:
                self.skip(" \t\r\n,")
                if self.text[self.at] == "]":
                    break
                self.lines[(*path, element)] = self.line()
                self.value((*path, element))
                element += 1
            self.at += 1
        elif opening == "{":
            self.at += 1
            while True:
                self.skip(" \t\r\n,")
                if self.text[self.at] == "}":
                    break
                self.pair(path)
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def pair(self, table: Path) -> None:
        line = self.line()
        path = (*table, *self.key())
        self.lines[path] = line
        self.at += 1  # the equals sign
        self.value(path)

    def header(self) -> Path:
        """``[table]`` or ``[[array of tables]]``: the path that the pairs under it belong to."""
        line = self.line()
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        *above, last = self.key()
        path: Path = ()
        for part in above:
            path = (*path, part)
            if path in self.arrays:
                path = (*path, self.arrays[path])
        path = (*path, last)
        self.at += 2 if double else 1
        if double:
            self.arrays[path] = self.arrays.get(path, -1) + 1
            path = (*path, self.arrays[path])
        self.lines[path] = line
        return path

    def run(self) -> dict[Path, int]:
        table: Path = ()
        while True:
            self.skip(" \t\r\n")
            if self.at >= len(self.text):
                return self.lines
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)


def key_lines(text: str) -> dict[Path, int]:
    r"""Map the path of every key and array element in a valid TOML text to its line, counted from 1.

    Examples
    --------
    >>> key_lines('name = "x"\n[[classes]]\nid = 1\n')
    {('name',): 1, ('classes', 0): 2, ('classes', 0, 'id'): 3}
    """
    return _Scanner(text).run()


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of ``path``, or of its nearest enclosing key that has one."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None
