"""A group member in a process of its own, so that it can be killed as a machine that loses its power.

    crashing.py MODULE CLASS BOOTSTRAP GROUP TOPIC     joins, polls, and prints each new assignment as JSON
"""

import importlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve()


class CrashingMember:
    def __init__(self, client, group, topic):
        kind = type(client)
        command = [sys.executable, str(HERE), kind.__module__, kind.__qualname__, client.bootstrap, group, topic]
        self.assignment, self.records = set(), []
        # A session of its own: what its client has started is killed with it. Unbuffered: select() does not see a
        # second line that a buffer has taken with the first.
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0, start_new_session=True)

    def poll(self):
        while select.select([self.process.stdout], [], [], 0.05)[0]:
            line = self.process.stdout.readline()
            assert line, "the member ended by itself"
            self.assignment = set(json.loads(line))

    def crash(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def main(module, name, bootstrap, group, topic):
    sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]
    member = getattr(importlib.import_module(module), name)(bootstrap).join(group, topic)
    told = None
    while True:
        member.poll()
        if member.assignment != told:
            told = set(member.assignment)
            print(json.dumps(sorted(told)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
