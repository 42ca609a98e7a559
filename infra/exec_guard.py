"""Becomes another program that dies with its parent: ``python -I -S exec_guard.py PARENT SIGNAL USER -- COMMAND…``.

Runs between fork and exec in a process of its own, so that a parent with threads never runs Python between the two.
Standard library only: the interpreter is started isolated (``-I -S``).
"""

import ctypes
import os
import pwd
import signal
import struct
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
# capabilities(7): keep capabilities over a change of user, and let access(2) count them for a user other than root
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
# capability(7): enter folders closed to the user. The first is the narrower; containers often grant the second.
CAP_DAC_READ_SEARCH = 2
CAP_DAC_OVERRIDE = 1
PARENT_GONE = 113
NOT_ALLOWED = 126

libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


def _search_capability() -> int | None:
    """The capability to pass folders closed to others that this process may hand on, if any."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - pathlib is not worth its import time here
        permitted = next(int(line.split()[1], 16) for line in status if line.startswith("CapPrm:"))
    return next((cap for cap in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if permitted >> cap & 1), None)


def _keep_only(capability: int) -> None:
    """Reduce this process's capabilities to one and let it survive exec (capset(2), ambient set)."""
    bits = 1 << capability
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    data = struct.pack("6I", bits, bits, bits, 0, 0, 0)
    _checked(libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(data)), "capset")
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl(PR_CAP_AMBIENT)")


def become(user: str) -> None:
    """Leave root for ``user``, keeping just the right to walk through folders closed to others.

    Postgres refuses to run as root. The alternative is to open up every folder above the data, a private home included.
    """
    entry = pwd.getpwnam(user)
    capability = _search_capability()
    if libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0:
        capability = None
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if capability is not None:
        _keep_only(capability)


def die_with(parent: int, signal_number: int) -> None:
    """Ask the kernel for ``signal_number`` when ``parent`` ends; leave at once if it already has."""
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(PARENT_GONE)


def main() -> None:
    parent, signal_number, user = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    command = sys.argv[sys.argv.index("--") + 1 :]
    if user:
        become(user)
        if not os.access(command[0], os.X_OK):
            print(f"{user} may not run {command[0]}: open its folders to others, or start this as a normal user")
            sys.exit(NOT_ALLOWED)
    # after the change of user, which clears it
    die_with(parent, signal_number)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    # a background shell starts its children with SIGINT ignored, and exec would pass that on
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
