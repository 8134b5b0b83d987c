"""Answer conversations with distilabel's TransformersLLM; runs in an environment that has distilabel.

`python distilabel_run.py WEIGHTS ASKED.json NEW_TOKENS SIZE` prints texts and seconds as JSON in its last
line; the seconds of its start do not count.
"""

import json
import sys
import time
from pathlib import Path

from distilabel.models.llms import TransformersLLM

weights, asked, new_tokens, size = sys.argv[1:]
conversations = json.loads(Path(asked).read_text(encoding="utf-8"))
model = TransformersLLM(model=weights, torch_dtype="float32", device="cpu")
model.load()
begin = time.perf_counter()
texts = []
for start in range(0, len(conversations), int(size)):  # what a step of its pipeline hands over at once
    outputs = model.generate_outputs(
        inputs=conversations[start : start + int(size)], max_new_tokens=int(new_tokens), do_sample=False
    )
    texts += [output["generations"][0] or "" for output in outputs]
print(json.dumps({"texts": texts, "seconds": time.perf_counter() - begin}))
