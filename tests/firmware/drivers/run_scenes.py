"""Runs the scenes of modules, on any interpreter: run_scenes.py MODULE... prints the scenes' names as they pass."""

import asyncio
import sys


def scenes(module):
    """Names of its scenes, sorted."""
    return sorted([name for name in dir(module) if name.startswith("scene_")])


def load(name):
    """A module of this folder."""
    path = "tests.firmware.drivers." + name
    return getattr(__import__(path, None, None, (name,)), "__dict__", None) and sys.modules[path]


def main(names):
    for name in names:
        module = load(name)
        for scene in scenes(module):
            asyncio.run(getattr(module, scene)())
            print(scene)


if __name__ == "__main__":
    main(sys.argv[1:])
