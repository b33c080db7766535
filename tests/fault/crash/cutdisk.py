"""A file system of its own whose power can be cut: a file, a loop device, ext4 or xfs on it. Needs root.

cut() asks the file system to shut down without writing its log (the same request on ext4 and xfs): from that moment
on every write and sync fails, and what was not synced before is gone after the next mount. It tears nothing and
reorders nothing below the file system; the simulated disk does that. The process must stand still before: a sync that
races with the shutdown may be told that all is well, which a processor without power would never learn.
"""

import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32) of both file systems
WITHOUT_LOG_FLUSH = 2


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def missing(kind):
    """What this machine lacks for it, as a sentence, or None."""
    if os.geteuid() != 0:
        return "it needs root"
    for command in (f"mkfs.{kind}", "losetup", "mount"):
        if not shutil.which(command):
            return f"there is no {command}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            CutDisk(folder, kind, 320).close()
        except RuntimeError as problem:
            return f"no file system on a loop device: {problem}"
    return None


class CutDisk:
    def __init__(self, folder, kind="ext4", megabytes=3000):
        self.image = pathlib.Path(folder) / f"{kind}.image"
        self.mount_point = pathlib.Path(folder) / f"{kind}.mount"
        self.kind = kind
        self.cuts = 0
        self.device = None
        self.mounted = False
        with open(self.image, "wb") as image:
            image.truncate(megabytes << 20)
        run(f"mkfs.{kind}", "-q", str(self.image))
        self.mount_point.mkdir()
        self.device = run("losetup", "--find", "--show", "--direct-io=on", str(self.image))
        try:
            self._mount()
        except RuntimeError:
            self.close()
            raise

    def _mount(self):
        run("mount", "-t", self.kind, self.device, str(self.mount_point))
        self.mounted = True

    def cut(self):
        """The power is gone: nothing reaches the disk from here on."""
        folder = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
        finally:
            os.close(folder)
        self.cuts += 1

    def come_back(self):
        """After the processes that used it have ended: mount it anew, which replays the file system's log."""
        run("umount", str(self.mount_point))
        self.mounted = False
        self._mount()

    def close(self):
        if self.mounted:
            run("umount", str(self.mount_point))
            self.mounted = False
        if self.device:
            run("losetup", "--detach", self.device)
            self.device = None
        self.image.unlink(missing_ok=True)
