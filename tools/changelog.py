"""Writes the fragments in changes/ under the unreleased heading of CHANGELOG.md and removes them.

python tools/changelog.py            # gather
python tools/changelog.py --draft    # print what would be added
python tools/changelog.py --release 0.2.0 --date 2027-01-31   # gather, then close the section with a date
"""

from __future__ import annotations

import argparse
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("added", "changed", "deprecated", "removed", "fixed")
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*\.(?P<kind>" + "|".join(KINDS) + r")\.md")
UNRELEASED = re.compile(r"^## \S+ \(unreleased\)$", re.MULTILINE)
WIDTH = 120


class FragmentError(ValueError):
    """A fragment breaks the rule of changes/README.md."""


def read(folder: Path) -> dict[str, list[str]]:
    """Returns the entries of each kind, in the order of the files' names.

    Raises:
        FragmentError: a name without a kind, an empty file, a heading, more than four lines an entry.
    """
    entries: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for path in fragments(folder):
        match = NAME.fullmatch(path.name)
        if match is None:
            raise FragmentError(f"{path}: expected a name such as lighter-core.added.md ({', '.join(KINDS)})")
        text = path.read_text(encoding="utf-8").strip()
        if not text or text.startswith("#"):
            raise FragmentError(f"{path}: expected one to four lines for users, without a heading")
        for entry in re.split(r"^[-*] ", text, flags=re.MULTILINE):
            if not entry.strip():
                continue
            if len(entry.strip().splitlines()) > 4 or "\n\n" in entry.strip():
                raise FragmentError(
                    f"{path}: more than four lines, or a blank one; say it in less, or in two files"
                )
            entries[match["kind"]].append(" ".join(entry.split()))
    return entries


def fragments(folder: Path) -> list[Path]:
    """Returns the files of the folder that are fragments, by name."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "README.md")


def gathered(changelog: str, entries: dict[str, list[str]]) -> str:
    """Returns the changelog with the entries under its unreleased heading, after those that are there.

    Raises:
        FragmentError: the changelog has no heading such as "## 0.2.0 (unreleased)".
    """
    heading = UNRELEASED.search(changelog)
    if heading is None:
        raise FragmentError('CHANGELOG.md: no heading such as "## 0.2.0 (unreleased)" to write under')
    end = changelog.find("\n## ", heading.end())
    end = len(changelog) if end < 0 else end
    parts = re.split(r"^### (\w+)\n", changelog[heading.end() : end], flags=re.MULTILINE)
    sections = {name.lower(): body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    for kind, texts in entries.items():
        lines = [
            textwrap.fill(
                text,
                WIDTH,
                initial_indent="- ",
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            for text in texts
        ]
        sections[kind] = "\n".join(filter(None, [sections.get(kind, ""), *lines]))
    body = "\n\n".join(f"### {kind.title()}\n{sections[kind]}" for kind in KINDS if sections[kind])
    return f"{changelog[: heading.end()]}\n\n{body}\n{changelog[end:]}".rstrip() + "\n"


def main() -> None:
    """Gathers, and with --release closes the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draft", action="store_true", help="print the changelog and write nothing")
    parser.add_argument(
        "--release", metavar="VERSION", help="give the unreleased section this version and a date"
    )
    parser.add_argument("--date", help="the release's date, such as 2027-01-31")
    asked = parser.parse_args()
    if (asked.release is None) != (asked.date is None):
        parser.error("--release and --date go together")
    folder, path = ROOT / "changes", ROOT / "CHANGELOG.md"
    text = gathered(path.read_text(encoding="utf-8"), read(folder))
    if asked.release:
        text = UNRELEASED.sub(f"## {asked.release} ({asked.date})", text, count=1)
    if asked.draft:
        print(text)
        return
    path.write_text(text, encoding="utf-8")
    for fragment in fragments(folder):
        fragment.unlink()


if __name__ == "__main__":
    main()
