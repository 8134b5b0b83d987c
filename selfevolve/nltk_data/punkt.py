"""NLTK's sentence model punkt_tab, which IFEval needs.

Two of IFEval's 25 kinds of instruction split the answer into sentences (77 of the 834 instructions), and
lm-eval tries to download the model at import.
"""

from pathlib import Path
from typing import Any

from selfevolve.nltk_data.lookup import Resource


def _read_punkt(folder: Path) -> Any:
    """Read the sentence model from NLTK's first data folder, and split a known text."""
    from nltk.tokenize.punkt import PunktTokenizer

    reader = PunktTokenizer("english")
    known = ["Dr. Ames called.", "He was late."]
    if (sentences := reader.tokenize(" ".join(known))) != known:
        raise ValueError(f"NLTK splits a known text with it into {sentences}")
    return reader


# The files in punkt_tab.zip as NLTK's index has it (SHA-256 e57f6418...0106). With another model other
# sentences would be counted, and scores would not compare.
PUNKT = Resource(
    name="punkt_tab",
    needed_for="IFEval",
    place=Path("tokenizers/punkt_tab/english"),
    files={
        "abbrev_types.txt": "92a3e070f43d9b4c5534758ca40ad7343b04e7e29bfe0c2eb658a39445a4f779",
        "collocations.tab": "8e2da1225e4dd2cc9dba261ee231ccb134859e21b46006e7f472c5ee269af0cf",
        "ortho_context.tab": "4bbcca25ed3d3f06c02402abf8419b9f033b8adc06e7b482eca4e45f81a5dc4c",
        "sent_starters.txt": "f3f8535483e1dba487241b764945168123bca3209a9645e59acd1225dc76edac",
    },
    read=_read_punkt,
)
