"""NLTK's sentence model `punkt_tab`, without which lm-eval cannot score IFEval.

Two of IFEval's 25 kinds of instruction split the answer into sentences with it (number of sentences,
number of words in capitals: 77 of the 834 instructions), and lm-eval tries to download it at import.
"""

from pathlib import Path

PROJECT_DATA = Path(__file__).resolve().parents[2] / ".nltk_data"


def why_no_sentences(*, may_download: bool) -> str | None:
    """Return None if the model is in place, else the reason why it is not, in one line.

    It is looked for where NLTK looks (NLTK_DATA, the environment's `nltk_data`) and in the project's
    `.nltk_data`; with `may_download`, NLTK's own downloader is asked too.
    """
    import nltk

    if str(PROJECT_DATA) not in nltk.data.path:
        nltk.data.path.append(str(PROJECT_DATA))
    if _found():
        return None
    if may_download and nltk.download("punkt_tab", quiet=True) and _found():
        return None
    return (
        "NLTK's punkt_tab is not installed: put tokenizers/punkt_tab into a folder named in NLTK_DATA "
        "(with network: python -m nltk.downloader punkt_tab)"
    )


def _found() -> bool:
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
    except LookupError:
        return False
    return True
