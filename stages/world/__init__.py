"""The mini world: made-up seekers and supporters whose dialogues stand in for the real corpora.

Where to look: `vocabulary` and `problems` hold the facts a seeker can have, `profile` draws a hidden
profile and plans when it is revealed, `grammar` expands paraphrase templates, `seeker` and `supporter`
speak (their lines are in `seeker_lines`, `generic_lines` and `personal_lines`), `session` makes one
dialogue, `tasks` makes instruction items, and `upstreams` writes all of it in the corpora's layouts.
"""
