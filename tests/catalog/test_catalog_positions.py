"""Line numbers of TOML keys."""

from __future__ import annotations

import tomllib

from fve_pipeline.catalog.positions import key_lines, line_of

TEXT = """# a comment with = and [brackets]
name = "x" # trailing
"quoted key" = 'it'
dotted.inner = 1

classes = [
    { id = 1, name = "a # not a comment" },  # one
    { id = 2, name = "b", prompts = [
        "first",
        "second",
    ] },
]
long = '''
three
lines 'still''''
numbers = [1, 2,
  3]

[layout]
images = "a/{case}.nii"
where = { number = [1, 2] }

[[renditions]]
name = "r0"

[[renditions]]
name = "r1"
[renditions.extra]
deep = true

[split.values]
Tr = "train"
"""


def test_every_key_has_its_line() -> None:
    tomllib.loads(TEXT)
    lines = key_lines(TEXT)
    at = dict(enumerate(TEXT.splitlines(), start=1))

    for path, start in {
        ("name",): "name",
        ("quoted key",): '"quoted key"',
        ("dotted", "inner"): "dotted.inner",
        ("classes", 0, "name"): '    { id = 1, name = "a',
        ("classes", 1): "    { id = 2",
        ("classes", 1, "prompts", 1): '        "second"',
        ("long",): "long",
        ("numbers",): "numbers",
        ("numbers", 2): "  3]",
        ("layout",): "[layout]",
        ("layout", "where", "number"): "where",
        ("renditions", 0, "name"): 'name = "r0"',
        ("renditions", 1): "[[renditions]]",
        ("renditions", 1, "name"): 'name = "r1"',
        ("renditions", 1, "extra", "deep"): "deep",
        ("split", "values", "Tr"): "Tr",
    }.items():
        assert at[lines[path]].startswith(start), path


def test_a_missing_key_gets_the_line_of_what_encloses_it() -> None:
    lines = key_lines("[layout]\nimages = 'x'\n")

    assert line_of(lines, ("layout", "labels")) == 1
    assert line_of(lines, ("nothing",)) is None
