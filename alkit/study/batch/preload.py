"""What the fork server of `workers.Local` imports once for all workers. It ends with its parent while it loads, too.

Once all is loaded, the watching thread is ended, for a process of several threads must not fork; from there on the
server itself notices the end of its parent, and ends without taking down what it has loaded, which takes a second.
"""

import atexit
import os

from alkit.study.batch import processes

_end_watch = processes.end_with_parent(int(os.environ[processes.STARTER]))  # which may have ended already

import torch._dynamo  # noqa: E402, F401  (an optimiser imports it when it is first made)

import alkit.experiment  # noqa: E402
import alkit.study.batch.workers  # noqa: E402, F401

_end_watch()
_server = os.getpid()
atexit.register(lambda: os._exit(0) if os.getpid() == _server else None)  # workers are forked from it, with this
