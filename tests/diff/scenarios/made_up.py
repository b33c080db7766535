"""Requests by chance: each version of each API that our server lists, one scenario for an API.

Request number i of a version is drawn from the seed, its API, its version and i. Every fourth is damaged. What came
before it in its API may matter, so --only sends that again too; topics and groups are its API's own.
"""

import random

from ..chance.bodies import Chance
from ..chance.damage import damage, read
from ..chance.world import World
from ..options import OPTIONS, only
from ..peer import APIS
from ..scenario import scenario

FIRST = {"Produce": 3}  # before it, Produce was another
DAMAGED = 4


def ask(side, world, api, version, number):
    message = APIS[api]
    rng = random.Random(f"{OPTIONS.seed} {api} {version} {number}")
    damaged = number % DAMAGED == DAMAGED - 1
    body = Chance(world.shared() if damaged else world, message, version, rng).body()
    label, octets = f"by chance {number}", None
    if damaged:
        drawn = [id.bytes for id in world.ids.values()]
        damaged = damage(api, version, message, message.encode(version, body), rng, drawn)
        if not damaged:
            return
        octets, what = damaged
        label += f" {what}"
    side.bodies[f"{label} {api} v{version}"] = body if octets is None else f"{body} damaged: {octets.hex()}"
    answer = side.ask(label, api, version, body, octets=octets)
    world.learn(body if octets is None else read(message, version, octets), answer)


def by_chance(side, api):
    message, wanted = APIS[api], only()
    world = World(side, api)
    for version in message.versions:
        if version not in side.served[message.key] or version < FIRST.get(api, 0):
            continue
        world.begin_version(version)
        for number in range(OPTIONS.count):
            ask(side, world, api, version, number)
            if wanted == (api, version, number):
                return
        world.end_version()


def scenario_of(api):
    def made_up(side):
        if APIS[api].key in side.served:
            by_chance(side, api)

    made_up.__name__ = f"made_up_{api}"
    scenario(made_up)


for name in APIS:
    scenario_of(name)
