"""``kill -9`` at random moments of 200 actions on the label board: does any that was confirmed get lost?

Runs ``folksong curate`` on a small label space that it makes, does actions one after another over HTTP as fast as they
are confirmed, and kills the app at random moments. After each kill the app is started anew on the same log, and every
confirmed action must be there; at the end the log's replay must be the file that the app writes, byte for byte.

    python benchmarks/curate_kill.py [--kills 20] [--actions 200] [--seed 0]
"""

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

from folksong.labels.curation import Action, apply_actions, apply_logs
from folksong.labels.space import Label, LabelSpace
from folksong.tags.sources.read_tags import write_tags
from folksong.tags.table import TagTable


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    words = ["--labels", "a.labels.json", "--tags", "tags.csv", "--who", "nobody", "--no-open"]
    command = [sys.executable, "-m", "folksong", "curate", *words]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if found := re.match(r"(http://\S+/)  ", line):
            return process, found[1] + "board"
    raise SystemExit("the app did not start")


def ask(address: str, body: dict | None = None) -> dict:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--actions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp())
    labels = [Label(f"label {n}", tuple(f"tag {n} {m}" for m in range(30))) for n in range(10)]
    space = LabelSpace(tuple(labels))
    space.write(folder / "a.labels.json")
    write_tags(
        TagTable.from_pairs([f"t{n % 97}" for n in range(900)], [rng.choice(space.tags) for _ in range(900)]),
        folder / "tags.csv",
    )
    moves = [
        Action("move", f"label {n % 10}", f"tag {n % 10} {n // 10}", f"label {(n + 1) % 10}")
        for n in range(options.actions)
    ]
    kills = sorted(rng.sample(range(1, options.actions), options.kills))
    confirmed, unconfirmed, lost = 0, 0, 0
    process, address = start(folder)
    while confirmed < options.actions:
        timer = None
        if kills and confirmed >= kills[0]:
            kills.pop(0)
            timer = threading.Timer(rng.uniform(0, 0.03), process.kill)
            timer.start()
        try:
            while confirmed < options.actions and (timer is not None or not kills or confirmed < kills[0]):
                actions = [moves[confirmed].to_dict()]
                confirmed = ask(f"{address}/act", {"version": confirmed, "actions": actions})["version"]
        except (OSError, http.client.HTTPException):
            process.wait()
            process, address = start(folder)
            there = ask(f"{address}/state")["version"]
            lost += max(0, confirmed - there)
            unconfirmed += max(0, there - confirmed)
            confirmed = there
        if timer is not None:
            timer.join()
    process.kill()
    process.wait()
    process, address = start(folder)
    ask(f"{address}/write", {})
    process.kill()
    apply_logs(space, [folder / "a.curation.jsonl"]).space.write(folder / "replayed.json")
    same = (folder / "replayed.json").read_bytes() == (folder / "a.curated.labels.json").read_bytes()
    right = apply_actions(space, moves) == apply_logs(space, [folder / "a.curation.jsonl"]).space
    print(
        f"{options.actions} actions, {options.kills} kills: {lost} confirmed ones lost, {unconfirmed} on disk that "
        f"nobody was told of; the replay is {'the same file' if same else 'ANOTHER FILE'}, "
        f"{'as if nothing was killed' if right else 'WRONG'}"
    )
    raise SystemExit(lost > 0 or not same or not right)


if __name__ == "__main__":
    main()
