"""What Linux has to shut a process in without being root: namespaces, Landlock and seccomp, called through the C library.

Runs inside the sandbox's own interpreter, so it imports the standard library alone. Elsewhere every function says that it could
do nothing.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

NETWORK, PROCESSES, FILES, MEMORY = "network", "processes", "files", "memory"

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
_SIGKILL = 9
_NOBODY = 65534

_RULESET, _RULE, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE, _IOCTL = 1, 2, 4, 8, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL

# socket, shmget, ptrace, unshare, setns, bpf, keyctl, add_key, userfaultfd, io_uring_setup: ways to others, and to memory that
# nobody counts. A socket is refused as such, because a path such as /run/docker.sock is in no network namespace.
_REFUSED: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (0xC000003E, (41, 29, 101, 272, 308, 321, 250, 248, 323, 425)),
    "aarch64": (0xC00000B7, (198, 194, 117, 97, 268, 280, 219, 217, 282, 425)),
}
_STRICT: Mapping[str, tuple[int, ...]] = {
    # execve, execveat; then chmod, chown, utime, setxattr and their kin, which Landlock lets pass on any file of this user
    "x86_64": (59, 322, 90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 261, 280, 188, 189, 190, 463, 197, 198, 199, 466),
    "aarch64": (221, 281, 52, 53, 452, 54, 55, 88, 5, 6, 7, 463, 14, 15, 16, 466),
}
_MOUNT_SETATTR, _RECURSIVE, _AT_CWD = 442, 0x8000, -100

_libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _prctl(option: int, value: Any) -> bool:
    return _libc is not None and _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0


def hide() -> None:
    """Keeps other processes of this user out of this one's memory, environment and open files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def end_with_parent() -> None:
    """Has the kernel end this process when the one that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def adopt() -> bool:
    """Makes this process the parent of all its descendants whose own parents end, so that daemons can be found."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def separate(folder: str, disk_mb: int, *, read_only: bool) -> set[str]:
    """Gives this process's children namespaces of their own, and `folder` a disk of a limited size. Returns what now holds.

    Args:
        folder: Where the disk is mounted.
        disk_mb: Its size.
        read_only: Whether all other disks are read-only there: Landlock lets pass who changes the mode or the times of a file.
    """
    if _libc is None:
        return set()
    if os.getuid() == 0:
        # Root's processes are counted against no limit. That goes by the real user, and access to files by the effective one.
        with suppress(OSError):
            os.setresuid(_NOBODY, -1, -1)
    uid, gid = os.geteuid(), os.getegid()
    apart = _NEW_PIDS | _NEW_NET | _NEW_IPC
    if _libc.unshare(_NEW_USER | _NEW_MOUNTS | apart) != 0:
        # Containers often forbid user namespaces; root may need none. Mounts would then be the host's, so none are made.
        return {NETWORK, PROCESSES} if _libc.unshare(apart) == 0 else set()
    with suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes 10 ms to import
                file.write(text)
    options = f"size={disk_mb}m,nr_inodes=10000,mode=700".encode()
    mounted = _libc.mount(b"none", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(6), options)  # nosuid, nodev
    if read_only and mounted == 0:  # from Linux 5.12 on; its own folder then becomes writable again
        for path, flags, attributes in ((b"/", _RECURSIVE, (1, 0, 0, 0)), (os.fsencode(folder), 0, (0, 1, 0, 0))):
            packed = struct.pack("QQQQ", *attributes)
            _libc.syscall(_MOUNT_SETATTR, _AT_CWD, path, flags, packed, ctypes.c_size_t(len(packed)))
    return {NETWORK, PROCESSES, "users"}


def shut_in(reads: Iterable[str], writes: Iterable[str], *, strict: bool = False) -> set[str]:
    """Takes from this process, for ever, all files but these, sockets and every privilege. Returns what now holds.

    Args:
        reads: Files and folders that it may read.
        writes: Files and folders that it may write.
        strict: Also take all other programs from it, and the modes, owners, times and attributes of files.
    """
    if _libc is None:
        return set()
    _libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return ({FILES} if _landlock(reads, writes, strict) else set()) | ({NETWORK} if _seccomp(strict) else set())


def _landlock(reads: Iterable[str], writes: Iterable[str], strict: bool) -> bool:
    version = _libc.syscall(_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    everything = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    # TCP from version 4 on; sockets without a path, and signals, from 6 on.
    wanted = struct.pack("QQQ", everything, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0)
    if ruleset < 0:
        return False
    leave = ~_EXECUTE if strict else -1
    rules = [(path, (_EXECUTE | _READ | _LIST) & leave) for path in reads]
    rules += [(path, everything & leave) for path in writes]
    for path, access in rules:
        with suppress(OSError):
            at = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
            allowed = access & everything & (-1 if os.path.isdir(path) else _ON_FILES)  # noqa: PTH112
            _libc.syscall(_RULE, ruleset, 1, struct.pack("=Qi", allowed, at), 0)
            os.close(at)
    done: bool = _libc.syscall(_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _seccomp(strict: bool) -> bool:
    known = _REFUSED.get(os.uname().machine)
    if known is None or struct.calcsize("P") != 8:  # a 32-bit interpreter has other numbers
        return False
    architecture, refused = known
    refused += _STRICT[os.uname().machine] if strict else ()
    load, equal, at_least, leave = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | 13  # EACCES
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (leave, 0, 0, refuse), (load, 0, 0, 0)]
    steps += [(at_least, len(refused) + 1, 0, 0x40000000)]  # the x32 calls of x86_64, which have numbers of their own
    steps += [(equal, len(refused) - place, 0, number) for place, number in enumerate(refused)]
    steps += [(leave, 0, 0, allow), (leave, 0, 0, refuse)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(program)))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, filters, 0, 0) == 0)
