"""Answer conversations with distilabel's TransformersLLM; runs in an environment that has distilabel.

`python distilabel_run.py WEIGHTS ASKED.jsonl ANSWERED.json NEW_TOKENS SIZE`: writes texts and seconds,
without those of the start.
"""

import json
import sys
import time
from pathlib import Path

from distilabel.models.llms import TransformersLLM

weights, asked, answered, new_tokens, size = sys.argv[1:]
conversations = [json.loads(row) for row in Path(asked).read_text(encoding="utf-8").splitlines()]
model = TransformersLLM(model=weights, torch_dtype="float32", device="cpu")
model.load()
begin = time.perf_counter()
texts = []
for start in range(0, len(conversations), int(size)):  # what a step of its pipeline hands over at once
    outputs = model.generate_outputs(
        inputs=conversations[start : start + int(size)], max_new_tokens=int(new_tokens), do_sample=False
    )
    texts += [output["generations"][0] or "" for output in outputs]
seconds = time.perf_counter() - begin
Path(answered).write_text(json.dumps({"texts": texts, "seconds": seconds}), encoding="utf-8")
