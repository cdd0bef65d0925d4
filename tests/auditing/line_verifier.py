"""A verifier in a process of its own: JSON lines in, JSON lines out; its first argument names a bug or a death."""

import json
import random
import sys

BUG = sys.argv[1] if len(sys.argv) > 1 else ""


def verify(target, draft, token, rng):
    if rng.random() * draft[token] <= target[token]:
        return token
    left = [max(p - q, 0.0) for p, q in zip(target, draft, strict=True)]
    return rng.choices(range(len(target)), weights=target if BUG == "target" or sum(left) <= 0 else left)[0]


for place, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if BUG == "dies" and place > 100:
        sys.exit("out of memory, it says")
    token = verify(asked["target"], asked["draft"], asked["tokens"][0], random.Random(asked["seed"]))
    sys.stdout.write("nothing\n" if BUG == "mumbles" and place > 100 else json.dumps({"tokens": [token]}) + "\n")
    sys.stdout.flush()
