"""Many TorchScript models, one `import torch`: stubs are forked from a process that has it.

Triton starts one stub process per model instance (and one more for auto-completion), and each
imports torch: a second or more of CPU time every time. `install` puts a small launcher in the
place of the stub of a private backend directory. For models of the `pytorch` backend the launcher
asks a *zygote*, one process per server, for a child that already has Python and torch; the child
then runs the stub's own `main`. What Triton talks to is the stub itself, over its own shared
memory: there is no further hop in the path of a request. Models of other backends get the
ordinary stub at once.

    elf.py       edits a copy of the stub so that it is `python3` until told otherwise
    graft.py     in a forked child of such a process: calls the stub's `main`
    zygote.py    the process that waits with torch imported, and forks
    launcher.py  what Triton starts in the place of a stub; lives exactly as long as the child
    install.py   prepares a backend directory

Whenever anything is amiss (an unknown stub, no torch, an old kernel, a zygote that died) the
launcher turns into the ordinary stub and says so in one line of the server's log.
`PYTEST_TRITON_ZYGOTE=0` in the server's environment switches all of it off.
"""

from __future__ import annotations

from pytest_triton.backends.zygote.install import Installed, install

__all__ = ["Installed", "install"]
