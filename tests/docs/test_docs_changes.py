"""The fragments in changes/ are what becomes of the changelog: each can be gathered, and gathering loses nothing."""

from __future__ import annotations

from pathlib import Path

import changelog
import pytest

ROOT = Path(__file__).resolve().parents[2]
BEFORE = """# Changelog

## 0.2.0 (unreleased)

### Added
- One thing.

### Fixed
- A fault.

## 0.1.0 (2026-12-01)

### Added
- All.
"""


def test_every_fragment_of_the_project_can_be_gathered() -> None:
    text = changelog.gathered((ROOT / "CHANGELOG.md").read_text(), changelog.read(ROOT / "changes"))
    assert text.startswith("# Changelog\n\n## ")


def test_entries_go_under_their_kind_after_what_is_there_and_no_other_release_changes(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# not one\n")
    (tmp_path / "b.added.md").write_text("Two\nlines.\n")
    (tmp_path / "a.added.md").write_text("- " + "word " * 40 + "end.\n")
    (tmp_path / "c.changed.md").write_text("Other.\n")
    after = changelog.gathered(BEFORE, changelog.read(tmp_path))
    long = "- " + "word " * 22 + "word\n  " + "word " * 17 + "end."
    middle = (
        f"### Added\n- One thing.\n{long}\n- Two lines.\n\n### Changed\n- Other.\n\n### Fixed\n- A fault.\n"
    )
    assert after == BEFORE.replace("### Added\n- One thing.\n\n### Fixed\n- A fault.\n", middle)


def test_without_fragments_the_changelog_stays_as_it_is(tmp_path: Path) -> None:
    assert changelog.gathered(BEFORE, changelog.read(tmp_path)) == BEFORE


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("thing.md", "Text.", "expected a name"),
        ("thing.news.md", "Text.", "expected a name"),
        ("thing.added.txt", "Text.", "expected a name"),
        ("thing.added.md", "\n", "one to four lines"),
        ("thing.added.md", "# Heading\nText.", "without a heading"),
        ("thing.added.md", "a\nb\nc\nd\ne\n", "more than four lines"),
        ("thing.added.md", "a\n\nb\n", "more than four lines"),
    ],
)
def test_what_breaks_the_rule_is_told_by_name(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(changelog.FragmentError, match=said) as told:
        changelog.read(tmp_path)
    assert name in str(told.value)


def test_a_changelog_without_an_unreleased_section_is_told() -> None:
    with pytest.raises(changelog.FragmentError, match="unreleased"):
        changelog.gathered("# Changelog\n", {})
