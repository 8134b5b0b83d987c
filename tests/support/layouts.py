"""The same short dialogue in every layout that corpora come in."""

import json
from pathlib import Path

ESCONV = {
    "experience_type": "Current Experience",
    "emotion_type": "fear",
    "problem_type": "job crisis",
    "situation": "My shop closes.",
    "survey_score": {"seeker": {"empathy": "5"}},
    "dialog": [
        {"speaker": "seeker", "annotation": {}, "content": "Hi"},
        {
            "speaker": "supporter",
            "annotation": {"strategy": "Reflection of feelings"},
            "content": "That hurts.",
        },
    ],
}
EXTES = {
    "scene": "Work",
    "description": "A shop closes.",
    "content": [{"User": "Hi"}, {"AI Strategy": "Emotional Validation", "AI": "That hurts."}],
}
SERVEFOREMO = {
    "id": "s-9",
    "emotion_type": "fear",
    "problem_type": "job crisis",
    "situation": "My shop closes.",
    "dialogue": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "That hurts.", "strategy": ["reflection of feelings", "Question"]},
    ],
}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "That hurts."}]}
MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "That hurts."},
    ]
}
ESCOT = {
    "id": 944,
    "original_data": {
        "dialog": [{"speaker": "seeker", "content": "Hi"}],
        "strategy": "Affirmation and Reassurance",
        "response": "That hurts.",
    },
    "cot_data": {"emotion": "The seeker is afraid."},
}
ALL = {
    "original_data": ESCOT,
    "dialog": ESCONV,
    "dialogue": SERVEFOREMO,
    "conversations": SHAREGPT,
    "messages": MESSAGES,
    "content": EXTES,
}


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path
