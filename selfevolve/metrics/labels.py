"""How every score is called for readers, in the order of the tables. Keys are the names in metrics files."""

from pathlib import Path

from selfevolve.runtime.files import read_yaml

_LABELS: dict[str, dict[str, str]] = read_yaml(Path(__file__).with_name("labels.yaml"))
TEXT, FACTS, PERSONALISATION, SESSIONS, GROUPS = (
    _LABELS[name] for name in ("text", "facts", "personalisation", "sessions", "groups")
)
LABELS = TEXT | FACTS | PERSONALISATION | {"own_count": "number of own facts"}
SHORT = LABELS | _LABELS["short"]  # where a column has room for eight letters
