"""Write token_golden.json.gz: what the reference tokenizer gives for awkward sentences and the challenge's.

Run it in an environment of its own, with transformers 4 (whose CLIPTokenizer is the reference's) and ftfy:
``python make_token_golden.py clip_merges.txt.gz CVPR25_TextSegFMData_with_class.json token_golden.json.gz``
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import tempfile
from pathlib import Path

AWKWARD = [
    "e\u0301dème ce\u0301re\u0301bral",
    "\ufeffliver in CT",
    "肝脏 CT",
    "CT画像の肝臓",
    "간 in abdominal CT",
    "the “left” kidney’s cyst",
    "it’s the patient's",
    "caf&eacute; &amp; liver",
    "a &lt;b&gt; c",
    "<b>liver &amp; spleen</b>",
    "ﬁbrosis and ﬂuid",
    "ＣＴ　ｌｉｖｅｒ",
    "Ã©dÃ¨me",
    "â€œliverâ€\x9d",
    "liver\x00spleen",
    "liver\r\nspleen",
    "T2‑weighted",
    "5 μm² – 10 µm",
    "α-fetoprotein",
    "½ dose Ⅳ",
    "🫀 heart 🫁 lung",
    "naïve Straße İstanbul ŁÓDŹ",
    "we'll they've I'm you'd",
    "<|startoftext|>liver<|endoftext|>",
    "<|ENDOFTEXT|>",
    "a\u00a0b\u200bc\u2028d",
    "печень на КТ",
    "كبد",
    "कलेजा",
    "ตับ",
    "x" * 200,
    "liver " * 90,
    "",
    "   ",
    "...!!!???",
    "a_b__c",
    "1234.5678",
    "C3-C7/T1",
    "\x1b[31mred\x1b[0m",
    "[SEP]",
]


def sentences(prompts: Path) -> list[str]:
    """Every sentence of the challenge, once, in order."""
    found: set[str] = set()
    for classes in json.loads(prompts.read_text(encoding="utf-8")).values():
        for said in classes.values():
            found.update(said if isinstance(said, list) else [said] if isinstance(said, str) else [])
    return sorted(found)


def awkward() -> list[str]:
    """Three hundred and more: each of the above, and pieces of them drawn together."""
    draw = random.Random(0)
    pieces = [word for text in AWKWARD for word in text.split(" ")[:6] if len(word) < 30]
    joined = [
        "".join(draw.choice([" ", "", "-"]) + draw.choice(pieces) for _ in range(6)) for _ in range(300)
    ]
    return [*AWKWARD, *joined]


def main(merges: str, prompts: str, out: str) -> None:
    from transformers.models.clip.tokenization_clip import CLIPTokenizer, bytes_to_unicode

    lines = gzip.decompress(Path(merges).read_bytes()).decode().splitlines()
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, *(one + "</w>" for one in letters), *(line.replace(" ", "") for line in lines)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as name:
        vocabulary, merged = Path(name, "vocab.json"), Path(name, "merges.txt")
        vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
        # The reference takes as many lines as it needs, after a line of the version.
        merged.write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
        tokenizer = CLIPTokenizer(str(vocabulary), str(merged))
    assert tokenizer.fix_text is not None

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, truncation=True, max_length=77)["input_ids"]
        return found

    golden = {
        "awkward": [[text, ids(text)] for text in awkward()],
        "challenge": [ids(text) for text in sentences(Path(prompts))],
    }
    content = json.dumps(golden, separators=(",", ":")).encode()
    Path(out).write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
