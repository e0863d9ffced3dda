"""Bodies of functions that try to get out of their process; each raises or is ended where it is held, and returns where it is not.

They know the names SECRET (a file of the user), MARK (a file that must not come to be), FOLDER, PORT, SOCKET and HOST (a process).
"""

_PEER = """
import gc
peer = next(one for one in gc.get_objects() if type(one).__name__ == "Peer")
def say(frame):
    import os
    os.write(peer._writes, b"%016x" % len(frame) + frame)
    raise SystemExit("said")
"""
_RAW = "import gc, os\npeer = next(one for one in gc.get_objects() if type(one).__name__ == 'Peer')\n"
_C = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
_REFUSED = "if done < 0:\n    raise PermissionError(ctypes.get_errno())\nreturn {'done': done}"

FILES = {
    "reads a file": "return {'read': open(SECRET).read()}",
    "reads the users": "return {'read': open('/etc/passwd').read()}",
    "lists a folder": "import os\nreturn {'read': os.listdir(FOLDER)}",
    "writes a file": "open(MARK, 'w').write('x')\nreturn {}",
    "removes a file": "import os\nos.remove(SECRET)\nreturn {}",
    "renames a file": "import os\nos.rename(SECRET, MARK)\nreturn {}",
    "empties a file": "import os\nos.truncate(SECRET, 0)\nreturn {}",
    "makes a symbolic link": "import os\nos.symlink(SECRET, 'link')\nreturn {'read': open('link').read()}",
    "makes a hard link": "import os\nos.link(SECRET, 'link')\nreturn {'read': open('link').read()}",
    "climbs by descriptors": "import os\nat = os.open('.', os.O_RDONLY)\nreturn {'read': open(os.open('../' * 20 + SECRET, 0, dir_fd=at)).read()}",
    "changes a mode": "import os\nos.chmod(SECRET, 0o777)\nreturn {}",
    "changes times": "import os\nos.utime(SECRET, (0, 0))\nreturn {}",
    "sets an attribute": "import os\nos.setxattr(SECRET, 'user.x', b'1')\nreturn {}",
    "mounts": _C + "done = libc.mount(b'/', b'.', None, 4096, None)\n" + _REFUSED,
    "fills the disk": "for n in range(999): open(str(n), 'wb').write(bytes(900_000))\nreturn {}",
}
HOST = {
    "reads the host's environment": "return {'read': open(f'/proc/{HOST}/environ').read()}",
    "reads its own environment": "import os\nfound = dict(os.environ)\nif 'API_KEY' not in found: raise KeyError('API_KEY')\nreturn found",
    "reads the host's memory": "return {'read': open(f'/proc/{HOST}/mem', 'rb').read(10)}",
    "walks the processes": "import os\nreturn {'read': [open(f'/proc/{one}/cmdline').read() for one in os.listdir('/proc') if one.isdigit()]}",
    "traces the host": _C + "done = libc.ptrace(16, HOST, 0, 0)\n" + _REFUSED,
    "ends the host": "import os\nos.kill(HOST, 9)\nreturn {}",
    "ends its watcher": "import os\nos.kill(os.getppid() or 10**7, 9)\nreturn {}",
    "reads inherited descriptors": (
        "import os, stat\nfound = []\nfor n in range(3, 64):\n    try:\n        if stat.S_ISREG(os.fstat(n).st_mode):\n"
        "            found.append(os.pread(n, 100, 0).decode())\n    except OSError: pass\n"
        "if not found: raise LookupError('nothing')\nreturn {'read': found}"
    ),
}
NETWORK = {
    "connects": "import socket\nsocket.create_connection(('127.0.0.1', PORT))\nreturn {}",
    "sends a datagram": "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))\nreturn {}",
    "connects to a path": "import socket\nsocket.socket(socket.AF_UNIX).connect(SOCKET)\nreturn {}",
    "listens": "import socket\nsocket.create_server(('127.0.0.1', 0))\nreturn {}",
    "opens a ring": _C + "done = libc.syscall(425, 8, ctypes.create_string_buffer(120))\n" + _REFUSED,
}
PROCESSES = {
    "runs a program": "import subprocess, sys\nreturn {'read': subprocess.check_output(['/bin/echo', 'out'], text=True)}",
    "becomes a program": "import os\nos.execv('/bin/echo', ['echo', 'x'])",
    "becomes a program in memory": (
        "import os\nat = os.memfd_create('x')\nos.write(at, open('/bin/echo', 'rb').read())\nos.execve(at, ['x'], {})"
    ),
    "forks without end": "import os\nwhile True:\n    if os.fork() == 0:\n        while True: pass",
    "starts threads without end": (
        "import threading\nwait = threading.Event()\nwhile True: threading.Thread(target=wait.wait, daemon=True).start()"
    ),
    "leaves a daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 64)\n"
        "        time.sleep(600)\n    os._exit(0)\nos._exit(0)"
    ),
    "makes a namespace": _C + "done = libc.unshare(0x10000000)\n" + _REFUSED,
    "shares memory": _C + "done = libc.shmget(0, 1 << 30, 0o1600)\n" + _REFUSED,
    "takes memory": "return {'x': len(bytearray(2 << 30))}",
    "takes the stack": "import sys\nsys.setrecursionlimit(10**9)\nx, y = [], []\nfor _ in range(10**5): x, y = [x], [y]\nreturn {'x': x == y}",
    "breaks its memory": "import ctypes\nctypes.string_at(0)\nreturn {}",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "exits": "import os\nos._exit(0)",
    "exits with a last wish": (
        "import atexit\natexit.register(lambda: open(MARK, 'w').write('x'))\nraise SystemExit('bye')"
    ),
}
WAITS = {
    "waits": "import threading\nthreading.Event().wait()",
    "hears no signal": (
        "import signal\nfor n in range(1, 64):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass"
    ),
}
RESULTS = {
    "returns too much": "return {'x': 'x' * 5_000_000}",
    "returns endless lists": "x = []\nx.append(x)\nreturn {'x': x}",
    "returns a nest": "x = []\nfor _ in range(5000): x = [x]\nreturn {'x': x}",
    "returns no number": "return {'x': float('nan')}",
    "returns a number without end": "return {'x': 10**100_000}",
    "returns half a character": "return {'x': '\\ud800'}",
    "returns keys that are not texts": "return {1: 2}",
    "returns a pickle": "import pickle\nreturn {'x': pickle.dumps(print)}",
    "returns an object": "class Evil:\n    __reduce__ = lambda self: (print, ('x',))\nreturn {'x': Evil()}",
    "prints without end": "while True: print('x' * 1000)",
    "raises what cannot be said": "class Odd(Exception):\n    def __str__(self): raise MemoryError\nraise Odd",
    "raises pages": "raise ValueError('\\x1b[2J' + 'line\\n' * 1_000_000)",
}
MESSAGES = {
    "calls another tool": "import builtins\nreturn vars(builtins)['tools'].wipe(all=True)",
    "calls another tool by the pipe": "import builtins\nreturn {'x': vars(builtins)['tools']._ask('wipe', {})}",
    "calls what is not a tool": "import builtins\nreturn {'x': vars(builtins)['tools']._ask(['look'], 'x', 3)}",
    "calls a tool without end": "while True: tools.look(at='x')",
    "calls a tool from many threads": (
        "import threading\nall = [threading.Thread(target=lambda: [tools.look(at='x') for _ in range(9)]) for _ in range(4)]\n"
        "for one in all: one.start()\nfor one in all: one.join()\nimport time\ntime.sleep(600)"
    ),
    "gives a tool too much": "tools.look(at='x' * 200_000)\nreturn {}",
    "asks for an attribute": _PEER + "return {'x': peer.ask('getattr', 0, '__globals__')}",
    "asks for another object": _PEER + "return {'x': peer.ask('call', 7, ('look', {}), {})}",
    "asks for nothing": _PEER + "return {'x': peer.ask()}",
    "sends an array": _PEER + "peer.ask('call', 0, ('look', __import__('collections').Counter('x')), {})\nreturn {}",
    "sends a set": _PEER + "peer.ask('call', 0, ('look', {1}), {})\nreturn {}",
    "sends an object": _PEER + "peer.ask('call', 0, ('look', peer), {})\nreturn {}",
    "sends a frame without end": _RAW
    + "os.write(peer._writes, b'7fffffffffffffff' + bytes(60_000))\nimport time\ntime.sleep(600)",
    "sends a negative frame": _RAW + "os.write(peer._writes, b'-000000000000001')\nimport time\ntime.sleep(600)",
    "sends noise": _RAW
    + "[os.write(n, b'0' * 16 + b'noise') for n in range(3, 64) if n == peer._writes]\nimport time\ntime.sleep(600)",
    "sends half a frame": _RAW + "os.write(peer._writes, b'00000000000000ff')\nos._exit(0)",
    "answers in another's name": _PEER + "say(b't1:2s4:gavet1:2s4:gavei1:1')",
    "says that it failed": _PEER + "say(b't1:2s6:failedi1:7')",
    "replaces our modules": (
        "import sys\nfor name in list(sys.modules): sys.modules[name] = None\nimport os\nreturn {'x': os}"
    ),
    "replaces what checks it": (
        "import sys\nsys.modules['program'].plain = lambda value, most: value\nreturn {'x': {1, 2}}"
    ),
    "hooks imports": (
        "import builtins, sys\nbuiltins.__import__ = lambda *_: 1 / 0\nsys.meta_path.clear()\nimport decimal\nreturn {}"
    ),
}
EVERY = {**FILES, **HOST, **NETWORK, **PROCESSES, **RESULTS, **MESSAGES}
